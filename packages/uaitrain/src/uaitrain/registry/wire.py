"""One request and its answer, over :mod:`uaitrain.registry.http1`.

Import it lazily: sockets and TLS take longer to load than most of us. Every exception of ``http1``,
``ssl`` and the socket becomes a RegistryError in :mod:`uaitrain.registry.breaks`.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import SplitResult, unquote, urlsplit

from uaitrain.errors import RegistryError, UsageError
from uaitrain.oci.descriptor import MAX_MANIFEST_BYTES
from uaitrain.registry import http1
from uaitrain.registry.breaks import converted, cut_short, not_connected
from uaitrain.registry.patience import Patience
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from pathlib import Path

CHUNK = 1024 * 1024
"""Bytes in one read or write."""

_PIECE = 128 * 1024
"""Bytes of ours that the other side has to take within one silence: 2 KB/s at least."""

_WHOLE = 2.0
"""How many silences an answer may take in all, apart from a body that is read as a stream."""

_ALREADY_THERE = 1.0
"""Seconds for the answer of somebody who takes no more of our bytes."""

_MOST_IDLE = 16
"""Connections to one place that are kept for the next request."""

_OK = 200
_BROKEN = (OSError, http1.HttpError)


class _Headers(Mapping[str, str]):
    """Any spelling of a name finds it; a header that came twice is joined by a comma (RFC 9110)."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            known = self._values.get(name.lower())
            self._values[name.lower()] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Answer:
    """A response. ``body`` is read already, except where a stream was asked for and granted."""

    def __init__(
        self,
        response: http1.Response,
        patience: Patience,
        url: str,
        stream: bool,
        release: Callable[[bool], None],
    ) -> None:
        self._response = response
        self._release = release
        self.status = response.status
        self.headers: Mapping[str, str] = _Headers(response.headers)
        self.url = url
        self.host = urlsplit(url).netloc
        self.body = b""
        if stream and self.status < 300:
            patience.flow()
        else:
            self.body = self._read_all(MAX_MANIFEST_BYTES + 1)
            self.close()

    def read(self, amount: int) -> bytes:
        """At most ``amount`` bytes; b"" at the end. Raises TransientError when it breaks off."""
        try:
            data = self._response.read(amount)
        except _BROKEN as error:
            self.close()
            raise converted(error, self.host) from None
        if not data and amount and self._response.length:
            self.close()
            raise cut_short(self.host)
        return data

    def _read_all(self, limit: int) -> bytes:
        """Up to ``limit`` bytes; only the read after the last byte tells a body cut short."""
        found = bytearray()
        while len(found) < limit and (data := self.read(limit - len(found))):
            found += data
        return bytes(found)

    def close(self) -> None:
        """Give the connection back when all was read, else end it."""
        whole = self._response.isclosed() and not self._response.length
        with contextlib.suppress(*_BROKEN):
            self._response.close()
        self._release(whole)


@dataclass(frozen=True)
class _Place:
    """Where a connection leads: a host, directly or through a proxy."""

    scheme: str
    host: str
    port: int | None
    proxy: str


class _Tunnelled(http1.Connection):
    """HTTPS to ``place`` through the tunnel that a proxy opens (CONNECT, RFC 9110)."""

    def __init__(
        self, place: _Place, proxy: SplitResult, seconds: float, context: ssl.SSLContext
    ) -> None:
        super().__init__(place.host, place.port, seconds, context)
        self._proxy, self._limit, self._tls_context = proxy, seconds, context

    def connect(self) -> None:
        sock = http1.opened(self._proxy.hostname or "", self._proxy.port or 80, self._limit)
        try:
            self._open_tunnel(sock)
            self.sock = self._tls_context.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise

    def _open_tunnel(self, sock: socket.socket) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [f"CONNECT {host}:{self.port} HTTP/1.1", f"Host: {host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in _proxy_login(self._proxy).items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        response = http1.Response(sock, "CONNECT", Patience(self._limit, self._limit))
        try:
            response.begin()
            sock.settimeout(self._limit)
            if response.status != _OK:
                raise OSError(f"the proxy answers {response.status}")
        finally:
            response.close()


class Wire:
    """Connections, TLS and proxies. Safe to use from several threads.

    ``connect_seconds`` limits connecting, ``silence_seconds`` each pause of the other side, be it
    that nothing comes or that nothing is taken.
    """

    def __init__(
        self, ca_file: Path | None, connect_seconds: float, silence_seconds: float
    ) -> None:
        self._ca_file = ca_file
        self._timeouts = (connect_seconds, silence_seconds)
        self._idle: dict[_Place, list[http1.Connection]] = {}
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        # Whoever forgets to close us leaves no connection open.
        weakref.finalize(self, _close_all, self._idle)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        *,
        stream: bool = False,
        proxied: bool = True,
        extra_seconds: float = 0.0,
    ) -> Answer:
        """One request, neither retried nor redirected; ``extra_seconds`` more of silence are
        borne before the answer.

        An iterable body needs a Content-Length header; what it raises passes through, unless it
        is an OSError.
        """
        try:
            parts = urlsplit(url)
            proxy = _proxy(parts.scheme, parts.netloc) if proxied else ""
            place = _Place(parts.scheme, parts.hostname or "", parts.port, proxy)
        except ValueError:
            raise RegistryError(f"{url[:100]!r} is a broken address") from None
        connection, used = self._connect(place, parts.netloc)
        silence = self._timeouts[1] + extra_seconds
        patience = Patience(silence, _WHOLE * silence)
        try:
            if proxy and place.scheme == "http":
                host = {"Host": parts.netloc.rpartition("@")[2]}
                headers = {**host, **headers, **_proxy_login(urlsplit(proxy))}
            response, fit = self._exchange(
                connection, method, _target(parts, place), headers, body, patience
            )
        except (http1.BadAddressError, ValueError):
            connection.close()
            raise RegistryError(f"{parts.netloc}: the registry gave a broken address") from None
        except _BROKEN as error:
            connection.close()
            if used and isinstance(error, http1.HttpError):
                # What an earlier answer left behind that was longer than it said.
                raise cut_short(parts.netloc) from None
            raise converted(error, parts.netloc) from None
        except BaseException:
            connection.close()
            raise

        def release(whole: bool) -> None:
            self._put_back(place, connection, whole and fit)

        return Answer(response, patience, url, stream, release)

    def close(self) -> None:
        with self._lock:
            _close_all(self._idle)

    def _exchange(
        self,
        connection: http1.Connection,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        patience: Patience,
    ) -> tuple[http1.Response, bool]:
        """The response, and whether the connection is fit for another request."""
        assert connection.sock
        connection.sock.settimeout(self._timeouts[1])
        refused: OSError | None = None
        try:
            sent = body if body is None or isinstance(body, bytes) else _pieces(body)
            connection.request(method, target, sent, headers)
        except (BrokenPipeError, ConnectionResetError, TimeoutError) as error:
            # Who refuses a body without reading it has often said why before.
            refused = error
            patience = Patience(_ALREADY_THERE, _ALREADY_THERE)
        try:
            return connection.getresponse(patience), refused is None
        except _BROKEN:
            if refused:
                raise refused from None
            raise

    def _connect(self, place: _Place, netloc: str) -> tuple[http1.Connection, bool]:
        """An idle connection that still stands, else a new one; and whether it was used before."""
        while True:
            with self._lock:
                idle = self._idle.get(place)
                connection = idle.pop() if idle else None
            if connection is None:
                break
            if _stands(connection):
                return connection, True
            connection.close()
        connection = self._new(place)
        try:
            connection.connect()
        except _BROKEN as error:
            connection.close()
            raise not_connected(error, netloc, proxied=bool(place.proxy)) from None
        except BaseException:
            connection.close()
            raise
        return connection, False

    def _new(self, place: _Place) -> http1.Connection:
        seconds = self._timeouts[0]
        if not place.proxy:
            if place.scheme == "https":
                return http1.Connection(place.host, place.port, seconds, self._tls())
            return http1.Connection(place.host, place.port, seconds)
        proxy = urlsplit(place.proxy)
        if place.scheme == "https":
            return _Tunnelled(place, proxy, seconds, self._tls())
        return http1.Connection(proxy.hostname or "", proxy.port or 80, seconds)

    def _put_back(self, place: _Place, connection: http1.Connection, whole: bool) -> None:
        with self._lock:
            idle = self._idle.setdefault(place, [])
            if whole and connection.sock and connection not in idle and len(idle) < _MOST_IDLE:
                idle.append(connection)
                return
            if connection in idle:
                return
        connection.close()

    def _tls(self) -> ssl.SSLContext:
        """The system's authorities, and ``ca_file``'s beside them."""
        with self._lock:
            if self._context is None:
                self._context = _tls(self._ca_file)
            return self._context


def _pieces(body: Iterable[bytes]) -> Iterator[memoryview]:
    """``body`` in pieces that even a slow line takes within the time limit of one write."""
    for block in body:
        view = memoryview(block)
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE]


def _close_all(idle: dict[_Place, list[http1.Connection]]) -> None:
    for connections in idle.values():
        for connection in connections:
            connection.close()
    idle.clear()


def _stands(connection: http1.Connection) -> bool:
    """Whether an idle connection can be used: bytes that nobody asked for mean its end."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


def _target(parts: SplitResult, place: _Place) -> str:
    """What the request line names: the path, or the whole address where a proxy must know."""
    if place.proxy and place.scheme == "http":
        return parts.geturl()
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _proxy(scheme: str, netloc: str) -> str:
    """The proxy that the environment names for this host, or nothing. Raises UsageError."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    proxy = proxies.get(scheme) or proxies.get("all") or ""
    if not proxy or proxy_bypass(netloc):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    kind = urlsplit(proxy).scheme
    if kind != "http":
        raise UsageError(
            f"the environment names a proxy of kind {kind!r}",
            allowed="http:// in HTTPS_PROXY, HTTP_PROXY, ALL_PROXY",
        )
    return proxy


def _proxy_login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    import base64

    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(login.encode()).decode()}


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, and ``ca_file``'s beside them."""
    import ssl

    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            raise UsageError(
                f"--ca-file {ca_file}: no certificate can be read from it",
                allowed="a file of certificates in PEM format",
            ) from None
    return context
