"""Real registries (Debian's ``docker-registry``) on free loopback ports."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support import certificates
from support.token_server import ISSUER, SERVICE, TokenServer, running_token_server

USERNAME = "mnist-user"
PASSWORD = "p4ss: wörd"  # noqa: S105 made up; the blank, colon and umlaut are what is tested


@dataclass
class RunningRegistry:
    """``host`` is ``127.0.0.1:<port>``; ``data`` its storage; the rest is empty where unused.

    ``stop()`` and ``start()`` take it down and bring it back on the same port.
    """

    host: str
    data: Path
    config: Path
    log: Path
    ca_file: Path | None = None
    server: certificates.KeyPair | None = None
    username: str = ""
    password: str = ""
    tokens: TokenServer | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"{'https' if self.ca_file else 'http'}://{self.host}"

    def start(self) -> None:
        """Raises AssertionError with the registry's log when it does not come up."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                # The registry dies with the test process, however that ends.
                ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while True:
            text = self.log.read_text()
            if found := re.search(r"listening on (127\.0\.0\.1:[0-9]+)", text):
                break
            assert self._process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.01)
        self.host = found[1]
        # A restart must come back where clients look for it.
        self.config.write_text(
            self.config.read_text().replace('"127.0.0.1:0"', json.dumps(self.host))
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block it takes connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def _htpasswd(username: str, password: str) -> str:
    done = subprocess.run(
        ["htpasswd", "-niB", "-C", "4", username],
        input=password.encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


@contextmanager
def running_registry(
    tmp_path: Path,
    *,
    htpasswd: tuple[str, str] | None = None,
    tls: bool = False,
    token: bool = False,
    relative_urls: bool = False,
) -> Iterator[RunningRegistry]:
    """A registry with empty storage below ``tmp_path`` until the block ends.

    ``htpasswd`` is the user name and password it asks for; ``tls`` gives it a certificate of a
    private CA (``ca_file``); ``token`` lets it trust a token server (``tokens``).
    """
    folder = tmp_path / "registry"
    number = 2
    while folder.exists():
        folder, number = tmp_path / f"registry{number}", number + 1
    folder.mkdir()
    running = RunningRegistry("", folder / "data", folder / "config.yml", folder / "log")
    http: dict[str, object] = {
        "addr": "127.0.0.1:0",
        "secret": "of-a-test",
        "relativeurls": relative_urls,
    }
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(running.data)},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
    }
    with ExitStack() as stack:
        if tls:
            authority = certificates.self_signed(folder, "authority")
            server = certificates.server_certificate(folder, authority)
            running.ca_file, running.server = authority.certificate, server
            http["tls"] = {"certificate": str(server.certificate), "key": str(server.key)}
        if htpasswd:
            running.username, running.password = htpasswd
            (folder / "htpasswd").write_text(_htpasswd(*htpasswd))
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        if token:
            signer = certificates.self_signed(folder, "signer")
            running.username, running.password = USERNAME, PASSWORD
            running.tokens = stack.enter_context(
                running_token_server(signer, USERNAME, PASSWORD, server if tls else None)
            )
            config["auth"] = {
                "token": {
                    "realm": running.tokens.url,
                    "service": SERVICE,
                    "issuer": ISSUER,
                    "rootcertbundle": str(signer.certificate),
                }
            }
        # JSON is YAML.
        running.config.write_text(json.dumps(config))
        stack.callback(running.stop)
        running.start()
        yield running
