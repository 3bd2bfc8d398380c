"""A registry that means harm, over real HTTP, met by the real command with little memory."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from uaitrain.errors import RegistryError
from uaitrain.oci.descriptor import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from uaitrain.oci.digest import digest_of
from uaitrain.registry import connect
from uaitrain.registry.client import MAX_PAGES
from uaitrain.registry.referrers import referrers

MEMORY = 400 << 20
"""Bytes of address space for the command: four times a manifest of 100 MB would not fit."""

Reply = tuple[int, dict[str, str], bytes]
Answering = Callable[[str], Reply]


@contextlib.contextmanager
def registry_that(answers: Answering) -> Iterator[str]:
    """``host:port`` of a server that gives ``answers(path)`` to every request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            status, headers, body = answers(self.path)
            # Who has heard enough hangs up.
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        do_HEAD = do_POST = do_GET  # noqa: N815 the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _little() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def inspect(host: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uaitrain", "inspect", f"{host}/team/image:v1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        preexec_fn=_little,
    )


def always(status: int, headers: dict[str, str], body: bytes = b"") -> Answering:
    return lambda _: (status, headers, body)


def image(config: bytes, layers: int, named: bytes | None = None) -> Answering:
    """``named`` are the bytes that the manifest names as the config, if not those that come."""
    named = config if named is None else named
    layer = {"mediaType": OCI_LAYER, "digest": digest_of(b""), "size": 0}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"mediaType": OCI_CONFIG, "digest": digest_of(named), "size": len(named)},
            "layers": [layer] * layers,
        }
    ).encode()

    def answer(path: str) -> Reply:
        if "/manifests/" in path:
            return 200, {"Content-Type": OCI_MANIFEST}, manifest
        return 200, {}, config if "/blobs/" in path else b"{}"

    return answer


def token_server(token: bytes) -> Answering:
    def answer(path: str) -> Reply:
        if path.startswith("/token"):
            return 200, {}, token
        return 401, {"WWW-Authenticate": f'Bearer realm="http://{_host[0]}/token"'}, b""

    return answer


_host = [""]

BELL = "\x1b]0;owned\x07\x1b[2J‮"
HOSTILE: dict[str, Answering] = {
    "a manifest of 100 MB": always(200, {"Content-Type": OCI_MANIFEST}, b" " * 100_000_000),
    "a manifest a hundred thousand deep": always(
        200, {"Content-Type": OCI_MANIFEST}, b'{"a":' * 100_000
    ),
    "an index that names itself nowhere": always(
        200, {"Content-Type": OCI_INDEX}, b'{"manifests":{}}'
    ),
    "a config of other bytes": image(
        b'{"rootfs":{"diff_ids":[]}}', 0, b'{"rootfs":{"diff_ids":1}}'
    ),
    "a diff_id too few": image(b'{"rootfs":{"diff_ids":[]}}', 10_000),
    "a manifest of another digest": always(
        200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest_of(b"x")}, b"{}"
    ),
    "a digest that is none": always(
        200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": "sha256:../.."}, b"{}"
    ),
    "redirects in a circle": lambda path: (307, {"Location": path}, b""),
    "a redirect to nowhere": always(307, {"Location": "http://[::1"}),
    "a redirect to a file": always(307, {"Location": "file:///etc/passwd"}),
    "a realm that is no address": always(401, {"WWW-Authenticate": 'Bearer realm="http://[x"'}),
    "a realm of 60 KB": always(401, {"WWW-Authenticate": f'Bearer realm="{"x" * 60_000}"'}),
    "ten thousand schemes": always(401, {"WWW-Authenticate": "a " * 30_000}),
    "a token of 100 MB": token_server(b'{"token":"' + b"a" * 100_000_000 + b'"}'),
    "a token of 1 MB": token_server(b'{"token":"' + b"a" * 1_000_000 + b'"}'),
    "a token for longer than time": token_server(
        b'{"token":"a","expires_in":' + b"9" * 400 + b"}"
    ),
    "an error in the terminal's language": always(
        403, {}, json.dumps({"errors": [{"code": "DENIED", "message": BELL}]}).encode()
    ),
    "a media type in the terminal's language": always(
        200, {}, json.dumps({"schemaVersion": 2, "mediaType": BELL}).encode()
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_by_one_message_in_bounded_memory(name: str, tmp_path: Path) -> None:
    with registry_that(HOSTILE[name]) as host:
        _host[0] = host
        done = inspect(host, tmp_path)

    assert done.returncode == RegistryError.exit_code, done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 4000
    assert all(c.isprintable() or c == "\n" for c in done.stdout + done.stderr)


def _endless(kind: str, body: dict[str, object]) -> Answering:
    count = iter(range(1 << 30))
    return lambda path: (
        200,
        {"Content-Type": kind, "Link": f'<{path.partition("?")[0]}?n={next(count)}>; rel="next"'},
        json.dumps(body).encode(),
    )


def test_a_list_of_tags_without_end_ends() -> None:
    with (
        registry_that(_endless("application/json", {"tags": ["a"]})) as host,
        pytest.raises(RegistryError, match=f"goes on after {MAX_PAGES} pages"),
    ):
        connect(host).tags("team/image")


def test_a_list_of_what_is_attached_without_end_ends() -> None:
    with (
        registry_that(_endless(OCI_INDEX, {"manifests": []})) as host,
        pytest.raises(RegistryError, match=f"goes on after {MAX_PAGES} pages"),
    ):
        referrers(connect(host), "team/image", digest_of(b""))
