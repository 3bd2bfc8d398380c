"""A real index of Python packages on loopback (PyPA, "Simple repository API"), and its wheels."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Index:
    """``files`` are served by name; ``said`` has the digests that its pages give instead of theirs.

    Both may be changed while it runs.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def add(self, *wheels: tuple[str, bytes]) -> None:
        self.files.update(wheels)

    def digest(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()

    def page(self, project: str) -> str:
        names = [n for n in self.files if n.split("-")[0].replace("_", "-") == project]
        digests = {name: self.said.get(name) or self.digest(name) for name in names}
        return "<!DOCTYPE html><html><body>" + "".join(
            f'<a href="/files/{name}#sha256={digest}">{name}</a>'
            for name, digest in digests.items()
        )


def wheel(
    name: str, tag: str, code: str = "", requires: Sequence[str] = (), script: str = ""
) -> tuple[str, bytes]:
    """Version 1.0 of ``name`` as one module, for the Pythons of ``tag`` (PEP 427)."""
    info = f"{name}-1.0.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files: Mapping[str, str] = {
        f"{name}.py": code or f"NAME = {name!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{script}\n" if script else "",
    }
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
        rows = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), rows)
    return f"{name}-1.0-{tag}.whl", data.getvalue()


@contextmanager
def running_index(patch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An empty index, the only one that pip on this machine is configured with."""
    index = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place, name = self.path.strip("/").split("/")
            if place == "simple":
                self._answer(index.page(name).encode(), "text/html")
            else:
                self._answer(index.files[name], "application/octet-stream")

        def _answer(self, data: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def do_HEAD(self) -> None:
            """A resolver asks first how large a wheel is."""
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name in ("EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "CONSTRAINT", "PROXY"):
        patch.delenv(f"PIP_{name}", raising=False)
    patch.setenv("PIP_CONFIG_FILE", "/dev/null")
    patch.setenv("PIP_INDEX_URL", index.url)
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
