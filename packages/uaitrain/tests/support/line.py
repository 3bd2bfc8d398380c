"""A TCP line before a server, that can be slow, counted, cut and mended."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 1 << 14
_REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) (/[^ ?]*)[^\r\n]* HTTP/1\.1\r\n")


@dataclass
class Line:
    """``up`` and ``down`` count the bytes of bodies and heads; ``requests`` has what was asked, in
    order. ``bytes_per_second`` holds for each direction of the whole line; 0 is no limit."""

    server: tuple[str, int]
    port: int = 0
    up: int = 0
    down: int = 0
    bytes_per_second: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        self.up = self.down = 0
        self.requests.clear()

    def asked(self, method: str) -> list[str]:
        return [path for each, path in self.requests if each == method]

    def renew(self) -> None:
        """Without limits, and without what earlier clients have left on their way."""
        self.bytes_per_second = 0
        self.cut()
        while self._open:
            time.sleep(0.02)
        self.reset()
        self.mend()

    def mend(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Break what is open and refuse what comes."""
        listener, self._listener = self._listener, None
        if listener:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.server)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
            pumps = [
                threading.Thread(target=self._pump, args=(near, far, True), daemon=True),
                threading.Thread(target=self._pump, args=(far, near, False), daemon=True),
            ]
            for pump in pumps:
                pump.start()
            threading.Thread(target=self._close, args=(pumps, near, far), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._lock:
                    if is_up:
                        self.up += len(data)
                        for method, path in _REQUEST.findall(data):
                            self.requests.append((method.decode(), path.decode()))
                    else:
                        self.down += len(data)
                    if self.bytes_per_second:
                        time.sleep(len(data) / self.bytes_per_second)
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _close(self, pumps: list[threading.Thread], *ends: socket.socket) -> None:
        for pump in pumps:
            pump.join()
        with self._lock:
            self._open -= set(ends)
        for each in ends:
            each.close()


@contextmanager
def running_line(host: str, port: int) -> Iterator[Line]:
    line = Line((host, port))
    line.mend()
    try:
        yield line
    finally:
        line.cut()
