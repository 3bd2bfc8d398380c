"""A proxy before a real registry that fails on demand, in ways no registry can be told to.

Everything it has no order for goes through as it is.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.certificates import KeyPair

_HOP = {"connection", "transfer-encoding", "keep-alive"}
_PIECE = 1 << 20
_UPLOAD = re.compile(r"/blobs/uploads/([0-9a-f-]{36})")


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose "METHOD path" ``pattern`` finds.

    Of the request: ``drop`` resets the connection before anything is passed on. ``reset_after``
    passes that many bytes of the body on and then resets both connections; ``stall_after`` takes
    no more after that many. ``spoil_at`` alters the byte there.

    Of the answer: ``status`` answers in the registry's place. ``change`` edits the body,
    ``headers`` are added. ``cut_after`` ends the connection after that many bytes of the body;
    ``answer_reset`` resets it and ``answer_stall`` falls silent after that many bytes in all,
    status line and headers included. ``trickle`` sends a byte each so many seconds.

    ``before`` runs before anything else (a pause, a kill, something done to the registry).
    """

    pattern: str
    times: int = 1
    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    reset_after: int | None = None
    stall_after: int | None = None
    spoil_at: int | None = None
    cut_after: int | None = None
    answer_reset: int | None = None
    answer_stall: int | None = None
    trickle: float = 0.0
    change: Callable[[bytes], bytes] | None = None
    before: Callable[[], object] | None = None


@dataclass
class FaultProxy:
    """``host`` is where it listens; ``requests`` is everything it got, as "METHOD path".

    ``connections`` counts those it took, ``received`` the bytes of bodies. ``resumable`` makes it
    a registry that keeps what it got of an upload that broke off and can say how much that is, as
    the protocol has it and as Debian's registry cannot: pieces are passed on as they come.
    """

    host: str
    upstream: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    received: int = 0
    resumable: bool = False
    uploads: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Where the upload of each id goes on upstream, and how much of it is there."""
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    tls: KeyPair | None = None
    watch: Callable[[], object] = lambda: None
    """Called for each request and each piece of a body."""
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def fault(self, request: str, headers: dict[str, str]) -> Fault | None:
        with self.lock:
            self.requests.append(request)
            self.seen.append(headers)
            found = None
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    found = fault
                    break
        self.watch()
        return found

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    @property
    def is_listening(self) -> bool:
        return self._server is not None

    def listen(self) -> None:
        """Take connections, the second time on the same port."""
        if self._server:
            return
        port = int(self.host.rpartition(":")[2] or 0)
        server = self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        server.daemon_threads = True
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.certificate, self.tls.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.host = f"127.0.0.1:{server.server_address[1]}"
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Refuse connections until ``listen`` is called; those that stand, go on."""
        with self.lock:
            server, self._server = self._server, None
        if server and self._thread:
            server.shutdown()
            server.server_close()
            self._thread.join()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def setup(self) -> None:
        super().setup()
        with self.proxy.lock:
            self.proxy.connections += 1

    def _any(self) -> None:
        try:
            with ExitStack() as stack:
                self._serve(stack)
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    def handle(self) -> None:
        # Between two requests, the client's end is no trouble.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._any
        raise AttributeError(name)

    def _serve(self, stack: ExitStack) -> None:
        fault = self.proxy.fault(f"{self.command} {self.path}", dict(self.headers.items()))
        fault = fault or Fault("")
        if fault.before:
            fault.before()
        if fault.drop:
            self._hang_up()
            return
        if fault.status:
            for _ in self._body(Fault("")):
                pass
            self._send(fault.status, fault.headers, fault.body, fault)
            return
        upload = _UPLOAD.search(self.path) if self.proxy.resumable else None
        passing = self._resume if upload else self._pass
        passed = passing(stack, fault, upload[1] if upload else "")
        if passed is None:
            return
        status, headers, body = passed
        if fault.change:
            body = fault.change(body)
            headers["Content-Length"] = str(len(body))
        self._send(status, headers | fault.headers, body, fault)

    def _upstream(self, stack: ExitStack) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        stack.callback(connection.close)
        return connection

    def _body(self, fault: Fault) -> Iterator[bytes]:
        """The request's body as it is passed on; ends early where the client goes away."""
        left = length = int(self.headers.get("Content-Length") or 0)
        stops = [n for n in (fault.reset_after, fault.stall_after) if n is not None]
        while left and (not stops or length - left < min(stops)):
            amount = min(left, _PIECE, *(n - (length - left) for n in stops))
            data = self.rfile.read1(amount)
            if not data:
                self.close_connection = True
                return
            start = length - left
            left -= len(data)
            with self.proxy.lock:
                self.proxy.received += len(data)
            self.proxy.watch()
            spoil = -1 if fault.spoil_at is None else fault.spoil_at % length - start
            if 0 <= spoil < len(data):
                data = data[:spoil] + bytes([data[spoil] ^ 1]) + data[spoil + 1 :]
            yield data
        if stops and length - left >= min(stops):
            self.close_connection = True

    def _pass(
        self, stack: ExitStack, fault: Fault, _: str
    ) -> tuple[int, dict[str, str], bytes] | None:
        upstream = self._upstream(stack)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders()
        for data in self._body(fault):
            try:
                upstream.send(data)
            except OSError:
                # It answered before it had everything; its answer is what counts.
                self.close_connection = True
                break
        else:
            if self.close_connection:
                # What was passed on must have arrived before the line goes dead.
                upstream.sock.shutdown(socket.SHUT_WR)
                upstream.sock.recv(1)
                self._stall_or_reset(fault)
                return None
        return _read(upstream)

    def _resume(
        self, stack: ExitStack, fault: Fault, upload: str
    ) -> tuple[int, dict[str, str], bytes] | None:
        """As a registry does that keeps what came of a request."""
        path, offset = self.proxy.uploads.get(upload, (self.path, 0))
        digest = re.search(r"[?&]digest=[^&]*", self.path)
        path = re.sub(r"[?&]digest=[^&]*", "", path)
        upstream = self._upstream(stack)
        headers = {k: v for k, v in self.headers.items() if k in ("Host", "Authorization")}
        if self.command in ("PATCH", "PUT"):
            for data in self._body(fault):
                typed = {"Content-Type": "application/octet-stream"}
                upstream.request("PATCH", path, data, headers | typed)
                status, told, body = _read(upstream)
                if status != 202:
                    self.close_connection = True
                    return status, told, body
                path = re.sub(r"^https?://[^/]*", "", told["Location"])
                offset += len(data)
                self.proxy.uploads[upload] = path, offset
            if self.close_connection:
                self._stall_or_reset(fault)
                return None
        if self.command == "PUT":
            upstream.request("PUT", f"{path}&{digest[0][1:]}" if digest else path, b"", headers)
        elif self.command == "DELETE":
            upstream.request("DELETE", path, b"", headers)
        else:
            upstream.request("GET", path, None, headers)
        status, told, body = _read(upstream)
        if status == 204 and self.command in ("GET", "PATCH"):
            told["Range"] = f"0-{max(offset - 1, 0)}"
            return (204 if self.command == "GET" else 202), told, body
        return status, told, body

    def _stall_or_reset(self, fault: Fault) -> None:
        if fault.stall_after is not None:
            self._hold()
        self._hang_up()

    def _hold(self) -> None:
        """Say nothing until the client has had enough."""
        gone = select.poll()
        gone.register(self.connection, select.POLLRDHUP)
        while not self.proxy.over.is_set() and not gone.poll(20):
            pass

    def _hang_up(self) -> None:
        self.close_connection = True
        _reset(self.connection)

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}"]
        if not any(name.lower() == "content-length" for name in headers) and status != 204:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        shown = b"" if self.command == "HEAD" else body[: fault.cut_after]
        answer = "\r\n".join([*lines, "", ""]).encode("latin-1") + shown
        if fault.trickle:
            for position in range(len(answer)):
                self.wfile.write(answer[position : position + 1])
                time.sleep(fault.trickle)
        elif fault.answer_reset is not None:
            self.wfile.write(answer[: fault.answer_reset])
            self._hang_up()
        elif fault.answer_stall is not None:
            self.wfile.write(answer[: fault.answer_stall])
            self._hold()
            self._hang_up()
        else:
            self.wfile.write(answer)
        if fault.cut_after is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def _read(upstream: http.client.HTTPConnection) -> tuple[int, dict[str, str], bytes]:
    answer = upstream.getresponse()
    body = answer.read()
    return (
        answer.status,
        {k: v for k, v in answer.getheaders() if k.lower() not in _HOP},
        body,
    )


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"proxy": proxy})


@contextmanager
def running_fault_proxy(
    upstream: str, *faults: Fault, tls: KeyPair | None = None, resumable: bool = False
) -> Iterator[FaultProxy]:
    """Before the registry at ``upstream`` (host:port), until the block ends.

    With ``tls`` it speaks HTTPS itself; upstream it always speaks HTTP.
    """
    state = FaultProxy("", upstream, list(faults), tls=tls, resumable=resumable)
    state.listen()
    try:
        yield state
    finally:
        state.over.set()
        state.refuse()
