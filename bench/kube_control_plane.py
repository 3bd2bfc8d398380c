"""A control plane on loopback: etcd, API server, controllers, scheduler. And one node without a
kubelet: its part is played, since a real one needs more of a machine than tests may take."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USERS = {"admin": "system:masters", "stranger": ""}
"""Who the API server knows, and their groups."""
NAMESPACE = "training"


@dataclass(frozen=True)
class ControlPlane:
    """``kubeconfig`` has a context for each of :data:`USERS`, and ``unknown``."""

    url: str
    kubeconfig: Path
    certificate: Path
    key: Path


@contextlib.contextmanager
def running(programs: Path, folder: Path) -> Iterator[ControlPlane]:
    """Ends with all its processes. Logs are left in ``folder``."""
    tokens = {name: secrets.token_hex(16) for name in USERS}
    ports = dict(
        zip(("client", "peer", "api", "manager", "scheduler"), _free_ports(5), strict=True)
    )
    url = f"https://127.0.0.1:{ports['api']}"
    certificates = folder / "certificates"
    signer, known = folder / "accounts.key", folder / "tokens.csv"
    made = ["openssl", "genrsa", "-out", str(signer), "2048"]
    subprocess.run(made, check=True, capture_output=True)
    known.touch(mode=0o600)
    known.write_text("".join(f'{t},{n},{n},"{USERS[n]}"\n' for n, t in tokens.items()))
    certificate = certificates / "apiserver.crt"
    kubeconfig = _kubeconfig(folder / "kubeconfig", url, certificate, tokens)
    etcd = f"http://127.0.0.1:{ports['client']}"
    peer = f"http://127.0.0.1:{ports['peer']}"
    own = ["--kubeconfig", str(kubeconfig), "--cert-dir", str(certificates), "--port=0"]
    own += ["--leader-elect=false", "--bind-address=127.0.0.1"]
    with contextlib.ExitStack() as stack:

        def start(name: str, *words: str) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [str(programs / name), *words], cwd=folder, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start(
            "etcd",
            *("--data-dir", str(folder / "etcd"), "--listen-client-urls", etcd),
            *("--advertise-client-urls", etcd, "--listen-peer-urls", peer),
        )
        start(
            "kube-apiserver",
            *("--etcd-servers", etcd, "--bind-address=127.0.0.1"),
            *(f"--secure-port={ports['api']}", "--cert-dir", str(certificates)),
            *("--token-auth-file", str(known), "--authorization-mode=RBAC"),
            *("--service-account-issuer=https://bench", "--service-cluster-ip-range=10.0.0.0/24"),
            *("--service-account-signing-key-file", str(signer)),
            *("--service-account-key-file", str(signer)),
            "--feature-gates=TTLAfterFinished=true",
        )
        _wait_until_ready(url, certificate)
        start(
            "kube-controller-manager",
            *(*own, f"--secure-port={ports['manager']}", "--feature-gates=TTLAfterFinished=true"),
            *("--service-account-private-key-file", str(signer)),
        )
        start("kube-scheduler", *own, f"--secure-port={ports['scheduler']}")
        yield ControlPlane(url, kubeconfig, certificate, certificates / "apiserver.key")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _kubeconfig(path: Path, url: str, certificate: Path, tokens: dict[str, str]) -> Path:
    cluster = {"server": url, "certificate-authority": str(certificate)}
    users = {**tokens, "unknown": "not-one"}
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "admin",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}} for name, token in users.items()],
        "contexts": [
            {"name": name, "context": {"cluster": "bench", "user": name, "namespace": NAMESPACE}}
            for name in users
        ],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(told))
    return path


def _wait_until_ready(url: str, certificate: Path) -> None:
    import ssl

    end = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError):
            context = ssl.create_default_context(cafile=str(certificate))
            with urllib.request.urlopen(f"{url}/readyz", context=context):  # noqa: S310 - https
                return
        if time.monotonic() > end:
            raise SystemExit("the API server does not come up: see kube-apiserver.log")
        time.sleep(0.5)
