"""A forward proxy on loopback: CONNECT for HTTPS, whole addresses for HTTP; asks for a login."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

LOGIN = "proxy-user:proxy p@ss"


@dataclass
class RunningProxy:
    """``seen`` has a request line for each request; every host leads to ``target``.

    ``cut_after`` breaks the next tunnel off, once, when so many bytes went to the target.
    """

    port: int
    target: tuple[str, int]
    seen: list[str] = field(default_factory=list)
    cut_after: int | None = None

    @property
    def url(self) -> str:
        return f"http://proxy-user:proxy%20p%40ss@127.0.0.1:{self.port}"


def _pump(source: socket.socket, drain: socket.socket, running: RunningProxy | None = None) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            passed += len(data)
            if running and running.cut_after is not None and passed > running.cut_after:
                running.cut_after = None
                break
            drain.sendall(data)
    with contextlib.suppress(OSError):
        drain.shutdown(socket.SHUT_WR)


@contextmanager
def running_connect_proxy(target_host: str) -> Iterator[RunningProxy]:
    """A proxy that sends everybody to ``target_host`` (host:port) until the block ends."""
    name, _, port = target_host.rpartition(":")
    expected = "Basic " + base64.b64encode(LOGIN.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def _allowed(self) -> bool:
            running.seen.append(self.requestline)
            if self.headers.get("Proxy-Authorization") == expected:
                return True
            self.send_error(407)
            return False

        def do_CONNECT(self) -> None:
            if not self._allowed():
                return
            with socket.create_connection(running.target) as upstream:
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                back = threading.Thread(target=_pump, args=(upstream, self.connection))
                back.start()
                _pump(self.connection, upstream, running)
                back.join()
            self.close_connection = True

        def do_GET(self) -> None:
            if not self._allowed():
                return
            parts = urlsplit(self.path)
            upstream = http.client.HTTPConnection(*running.target)
            upstream.request("GET", parts.path, headers={"Host": parts.netloc})
            answer = upstream.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.end_headers()
            self.wfile.write(body)
            upstream.close()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        running = RunningProxy(server.server_address[1], (name, int(port)))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
