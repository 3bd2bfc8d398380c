"""HTTP/1.1 as a client speaks it to registries (RFC 9112), and no more of it.

The standard library's ``http.client`` loads the parsers of mail and, always, TLS: 20 ms of a pack
that takes 40 (docs/decisions/0002-http-client.md). What a server sends is bounded here: a line, the
number of headers, the number of interim answers.
"""

from __future__ import annotations

import io
import socket

from uaitrain.registry.patience import Patience, Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

MAX_LINE_BYTES = 65536
MAX_HEADERS = 128
MAX_INTERIM = 16
"""Answers of the 1xx kind before the one that counts."""

_SWITCHING, _NO_CONTENT, _NOT_MODIFIED = 101, 204, 304
_JOINED_BYTES = 64 * 1024
"""A body up to this size travels with its headers, in one packet where that is possible."""

_LONGEST_NUMBER = 18

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_DIGITS = frozenset("0123456789")


class HttpError(Exception):
    """The other side does not speak HTTP, or not as it should."""


class CutShortError(HttpError):
    """The connection ended before the answer did."""


class NoAnswerError(HttpError, ConnectionResetError):
    """The connection ended before the answer began."""


class BadAddressError(HttpError):
    """A host, path or header that would break out of its line."""


class Response:
    """The answer to ``method``. ``headers`` are in the order in which they came.

    ``patience`` says how long all of it may take.
    ``length`` is how many bytes of the body are still to come, None where only the end of the
    body tells.
    """

    def __init__(self, sock: socket.socket, method: str, patience: Patience) -> None:
        self._method = method
        self._file: io.BufferedReader | None = io.BufferedReader(Reading(sock, patience))
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []
        self.length: int | None = None
        self.keeps_open = False
        self._chunked = False
        self._chunk_left = 0

    def begin(self) -> None:
        """Read the status line and the headers. Raises HttpError, OSError."""
        for _ in range(MAX_INTERIM):
            version = self._read_status()
            self.headers = self._read_headers()
            if self.status >= 200 or self.status == _SWITCHING:
                break
        else:
            raise HttpError("interim answers without end")
        coding = self._all("transfer-encoding").lower()
        options = {word.strip() for word in self._all("connection").lower().split(",")}
        self.keeps_open = "close" not in options and (
            version == "HTTP/1.1" or "keep-alive" in options
        )
        self._chunked = bool(coding)
        if self._method == "HEAD" or self.status in (_NO_CONTENT, _NOT_MODIFIED):
            self._chunked, self.length = False, 0
        elif coding and coding.rpartition(",")[2].strip() != "chunked":
            raise HttpError(f"transfer coding {coding[:40]!r}")
        elif not coding:
            self.length = self._content_length()
            self.keeps_open = self.keeps_open and self.length is not None
        if self.length == 0:
            self.close()

    def getheader(self, name: str) -> str | None:
        return self._all(name) or None

    def isclosed(self) -> bool:
        """Whether the body was read to its end, or given up."""
        return self._file is None

    def read(self, amount: int) -> bytes:
        """At most ``amount`` bytes, b"" at the end. Raises HttpError, OSError.

        A body whose promised length did not come ends early: ``length`` says what is missing.
        """
        if self._file is None or not amount:
            return b""
        if self._chunked:
            return self._read_chunked(amount)
        data = self._file.read(amount if self.length is None else min(amount, self.length))
        if self.length is not None:
            self.length -= len(data)
        if not data or self.length == 0:
            self.close()
        return data

    def close(self) -> None:
        file, self._file = self._file, None
        if file:
            file.close()

    def _line(self) -> bytes:
        assert self._file
        line = self._file.readline(MAX_LINE_BYTES + 1)
        if len(line) > MAX_LINE_BYTES:
            raise HttpError("a line without end")
        if not line.endswith(b"\n"):
            raise CutShortError if line else NoAnswerError
        return line.rstrip(b"\r\n")

    def _read_status(self) -> str:
        version, _, rest = self._line().decode("latin-1").partition(" ")
        code, _, self.reason = rest.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or len(code) != 3 or not {*code} <= _DIGITS:
            raise HttpError("no status line")
        self.status = int(code)
        return version

    def _read_headers(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while line := self._headers_line():
            if len(found) == MAX_HEADERS:
                raise HttpError("headers without end")
            name, colon, value = line.decode("latin-1").partition(":")
            # A line that goes on with a space was once allowed; nothing sends it any more.
            if not colon or not name or not {*name} <= _TOKEN:
                raise HttpError("a header that is none")
            found.append((name, value.strip(" \t")))
        return found

    def _headers_line(self) -> bytes:
        try:
            return self._line()
        except NoAnswerError:
            raise CutShortError from None

    def _all(self, name: str) -> str:
        return ",".join(value for known, value in self.headers if known.lower() == name.lower())

    def _content_length(self) -> int | None:
        lengths = {word.strip() for word in self._all("content-length").split(",")}
        if lengths == {""}:
            return None
        if len(lengths) > 1 or not all(
            0 < len(each) < 20 and {*each} <= _DIGITS for each in lengths
        ):
            raise HttpError("a content length that is none")
        return int(lengths.pop())

    def _read_chunked(self, amount: int) -> bytes:
        assert self._file
        if not self._chunk_left:
            size = self._headers_line().partition(b";")[0].strip()
            if not 0 < len(size) <= 16 or not {*size} <= _HEX:
                raise HttpError("a chunk without a size")
            self._chunk_left = int(size, 16)
            if not self._chunk_left:
                self._read_headers()  # the trailer
                self.length = 0
                self.close()
                return b""
        data = self._file.read(min(amount, self._chunk_left))
        self._chunk_left -= len(data)
        if not data:
            raise CutShortError
        if not self._chunk_left and self._headers_line():
            raise HttpError("a chunk longer than its size")
        return data


class Connection:
    """One connection to ``host``, over TLS where ``context`` is given; one request at a time.

    ``sock`` is None while it is not connected; its time limit is the caller's to change.
    """

    def __init__(
        self, host: str, port: int | None, seconds: float, context: ssl.SSLContext | None = None
    ) -> None:
        self.host, self.port = host, port or (443 if context else 80)
        self._seconds, self._context = seconds, context
        self.sock: socket.socket | None = None
        self._method = ""

    @property
    def netloc(self) -> str:
        """``Host`` as RFC 9110 wants it: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self._context else 80) else f"{host}:{self.port}"

    def connect(self) -> None:
        """Raises OSError, BadAddressError."""
        sock = opened(self.host, self.port, self._seconds)
        if self._context:
            try:
                sock = self._context.wrap_socket(sock, server_hostname=self.host)
            except BaseException:
                sock.close()
                raise
        self.sock = sock

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes | memoryview] | None,
        headers: Mapping[str, str],
    ) -> None:
        """Send it all. An iterable body needs a Content-Length header. Raises OSError,
        BadAddressError; what the body raises passes through.
        """
        assert self.sock
        lines = [f"{method} {target} HTTP/1.1"]
        names = {name.lower() for name in headers}
        if "host" not in names:
            lines.append(f"Host: {self.netloc}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if "content-length" not in names and (body is not None or method not in ("GET", "HEAD")):
            assert body is None or isinstance(body, bytes), "its length must be told"
            lines.append(f"Content-Length: {len(body or b'')}")
        head = _head(lines, target)
        self._method = method
        if isinstance(body, bytes) and len(body) <= _JOINED_BYTES:
            head, body = head + body, None
        self.sock.sendall(head)
        if isinstance(body, bytes):
            self.sock.sendall(body)
        elif body is not None:
            for piece in body:
                self.sock.sendall(piece)

    def getresponse(self, patience: Patience) -> Response:
        """Raises HttpError, OSError."""
        assert self.sock
        response = Response(self.sock, self._method, patience)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        if not response.keeps_open:
            # The response holds the socket until its body was read.
            self.close()
        return response

    def close(self) -> None:
        sock, self.sock = self.sock, None
        if sock:
            sock.close()


def opened(host: str, port: int, seconds: float) -> socket.socket:
    """A connected socket. Raises OSError, BadAddressError."""
    try:
        # As bytes: a name in text loads the tables for those that are not ASCII.
        name: str | bytes = host.encode("ascii")
    except UnicodeEncodeError:
        name = host
    if not host or any(ord(letter) <= 32 for letter in host):
        raise BadAddressError("a host with spaces or control characters")
    sock = socket.create_connection((name, port), seconds)  # type: ignore[arg-type] # bytes will do
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _head(lines: list[str], target: str) -> bytes:
    if any(ord(letter) <= 32 or ord(letter) >= 127 for letter in target):
        raise BadAddressError("an address with characters that it cannot have")
    for line in lines:
        if "\r" in line or "\n" in line or "\0" in line:
            raise BadAddressError("a header with a line break")
    try:
        return "\r\n".join([*lines, "", ""]).encode("latin-1")
    except UnicodeEncodeError:
        raise BadAddressError("a header that is not in Latin letters") from None
