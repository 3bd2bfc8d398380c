"""A real Kubernetes control plane from Debian 12's packages: etcd ready-made, the rest built.

No registry in reach has these programs, and Debian has their source: 1.20.2, with all that it
needs but Go. Nothing is installed: packages are unpacked into a folder. apt checks what it fetches.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
VERSION = "1.20.2"
_SOURCE = "kubernetes"
_SUITE = "bookworm"
_PACKAGES = (
    *("golang-1.19-go", "golang-1.19-src", "etcd-server"),
    *("rsync", "libpopt0", "libxxhash0", "jq", "libjq1", "libonig5"),
)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def programs(folder: Path) -> Path:
    """The folder with etcd and :data:`PROGRAMS`; made below ``folder`` unless it is there.

    Takes about eight minutes of one core, and longer where others need that, 200 MB of download
    and 3 GB of disk meanwhile.
    """
    made = folder / f"kubernetes-{VERSION}"
    if not made.exists():
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        for name in ("apt/lists/partial", "apt/cache/archives/partial", "packages", "root"):
            (work / name).mkdir(parents=True)
        _fetch(work)
        _build(work)
        shutil.copy(work / "root/usr/bin/etcd", work / "made")
        (work / "made").rename(made)
        shutil.rmtree(work)
    return made


def _fetch(work: Path) -> None:
    configuration = work / "apt" / "apt.conf"
    sources = work / "apt" / "sources.list"
    listed = ["apt-get", "indextargets", "Created-By: Packages", "Origin: Debian"]
    rows = _told([*listed, "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]).split("\n")
    sources.write_text(
        "".join(
            f"{kind} [signed-by={_KEYRING}] {row}\n"
            for row in dict.fromkeys(rows)
            if f" {_SUITE}" in row
            for kind in ("deb", "deb-src")
        )
    )
    configuration.write_text(
        f'Dir::State::Lists "{work}/apt/lists"; Dir::Cache "{work}/apt/cache";\n'
        f'Dir::Etc::SourceList "{sources}"; Dir::Etc::SourceParts "/dev/null";\n'
        'APT::Sandbox::User "root";\n'
    )
    apt = {"APT_CONFIG": str(configuration)}
    packages = work / "packages"
    _run(["apt-get", "-q", "update"], work, apt)
    _run(["apt-get", "-q", "download", *_PACKAGES], packages, apt)
    _run(["apt-get", "-q", "source", "--download-only", _SOURCE], work, apt)
    for package in packages.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(package), str(work / "root")], work)
    (tarball,) = work.glob(f"{_SOURCE}_*.orig.tar.gz")
    _run(["tar", "-xf", str(tarball)], work)


def _build(work: Path) -> None:
    source = work / f"{_SOURCE}-{VERSION}"
    root = work / "root"
    libraries = (root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu")
    environment = {
        "PATH": f"{root}/usr/lib/go-1.19/bin:{root}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(str(path) for path in libraries),
        "GOROOT": f"{root}/usr/lib/go-1.19",
        "GOCACHE": str(work / "cache"),
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOMAXPROCS": "1",
        "CGO_ENABLED": "0",
        "KUBE_GIT_VERSION": f"v{VERSION}",
        "KUBE_GIT_MAJOR": "1",
        "KUBE_GIT_MINOR": "20",
        "KUBE_GIT_COMMIT": "debian",
        "KUBE_GIT_TREE_STATE": "archive",
    }
    wanted = " ".join(f"cmd/{name}" for name in PROGRAMS)
    _run(["nice", "-n", "19", "make", "all", f"WHAT={wanted}"], source, environment)
    (work / "made").mkdir()
    for name in PROGRAMS:
        shutil.copy(source / "_output/local/bin/linux/amd64" / name, work / "made")


def _run(words: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:4])} failed:\n{done.stdout[-3000:]}")


def _told(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
