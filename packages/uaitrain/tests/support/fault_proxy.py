"""A proxy before a real registry that fails on demand, in ways no registry can be told to.

Everything it has no order for goes through as it is.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.certificates import KeyPair

_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose "METHOD path" ``pattern`` finds.

    ``status`` answers in the registry's place. ``reset_after`` passes that many bytes of the
    request's body on and then resets both connections. ``change`` edits the answer's body;
    ``cut_after`` breaks the answer off there. ``keep`` stores that many bytes of an upload as a
    registry that can resume does, then resets the connection. ``spoil`` alters the first byte
    of the request's body. ``before`` runs before anything else (a pause,
    something done to the registry). ``headers`` are added to the answer.
    """

    pattern: str
    times: int = 1
    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reset_after: int | None = None
    cut_after: int | None = None
    keep: int | None = None
    spoil: bool = False
    change: Callable[[bytes], bytes] | None = None
    before: Callable[[], object] | None = None


@dataclass
class FaultProxy:
    """``host`` is where it listens; ``requests`` is everything it got, as "METHOD path"."""

    host: str
    upstream: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, request: str, headers: dict[str, str]) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            self.seen.append(headers)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            try:
                with ExitStack() as stack:
                    self._serve(stack)
            except (OSError, http.client.HTTPException):
                self.close_connection = True

        def _upstream(self, stack: ExitStack) -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(proxy.upstream, timeout=30)
            stack.callback(connection.close)
            return connection

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._any
            raise AttributeError(name)

        def _serve(self, stack: ExitStack) -> None:
            fault = proxy.fault(f"{self.command} {self.path}", dict(self.headers.items()))
            length = int(self.headers.get("Content-Length") or 0)
            if fault and fault.before:
                fault.before()
            if fault and fault.status:
                while length > 0:
                    length -= len(self.rfile.read(min(length, 1 << 16)))
                self._send(fault.status, fault.headers, fault.body)
                return
            if fault and fault.keep is not None:
                self._keep(fault.keep, stack)
                return
            path = proxy.kept.get(self.path, self.path) if self.command == "GET" else self.path
            upstream = self._upstream(stack)
            upstream.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            passed = 0
            while passed < length:
                limit = length
                if fault and fault.reset_after is not None:
                    if passed >= fault.reset_after:
                        # What was passed on must have arrived before the line goes dead.
                        upstream.sock.shutdown(socket.SHUT_WR)
                        upstream.sock.recv(1)
                        self.close_connection = True
                        _reset(self.connection)
                        return
                    limit = min(length, fault.reset_after)
                data = self.rfile.read(min(limit - passed, 1 << 16))
                if not data:
                    # The client went away.
                    self.close_connection = True
                    return
                if fault and fault.spoil and not passed:
                    data = bytes([data[0] ^ 1]) + data[1:]
                try:
                    upstream.send(data)
                except OSError:
                    # It answered before it had everything; its answer is what counts.
                    self.close_connection = True
                    break
                passed += len(data)
            answer = upstream.getresponse()
            body = answer.read()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
            if fault:
                body = fault.change(body) if fault.change else body
                headers |= fault.headers
                if fault.change:
                    headers["Content-Length"] = str(len(body))
            self._send(answer.status, headers, body, fault.cut_after if fault else None)

        def _keep(self, amount: int, stack: ExitStack) -> None:
            """The first bytes of a PUT become a PATCH; a GET is told the new offset."""
            location = re.sub(r"&digest=.*", "", self.path)
            upstream = self._upstream(stack)
            headers = {"Host": proxy.host, "Content-Type": "application/octet-stream"}
            upstream.request("PATCH", location, self.rfile.read(amount), headers)
            answer = upstream.getresponse()
            proxy.kept[location] = answer.headers["Location"].removeprefix(f"http://{proxy.host}")
            self.close_connection = True
            _reset(self.connection)

        def _send(
            self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None
        ) -> None:
            self.send_response_only(status)
            if not any(name.lower() == "content-length" for name in headers) and status != 204:
                self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def running_fault_proxy(
    upstream: str, *faults: Fault, tls: KeyPair | None = None
) -> Iterator[FaultProxy]:
    """Before the registry at ``upstream`` (host:port), until the block ends.

    With ``tls`` it speaks HTTPS itself; upstream it always speaks HTTP.
    """
    state = FaultProxy("", upstream, list(faults))
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(state)) as server:
        server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        state.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
