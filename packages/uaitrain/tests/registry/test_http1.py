"""HTTP/1.1 word by word: what is taken, what is refused, what says that a connection goes on."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.registry import http1
from uaitrain.registry.http1 import (
    BadAddressError,
    Connection,
    CutShortError,
    HttpError,
    NoAnswerError,
    Response,
)
from uaitrain.registry.patience import Patience


def answered(sent: bytes, method: str = "GET") -> tuple[Response, bytes]:
    """The response that reads ``sent``, after which the other side hangs up, and its body."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=lambda: (theirs.sendall(sent), theirs.close()))
        sender.start()
        try:
            response = Response(ours, method, Patience(30, 30))
            try:
                response.begin()
                body = b""
                while data := response.read(7):
                    body += data
            finally:
                response.close()
        finally:
            ours.close()
            sender.join()
    return response, body


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = {
    "a length": (HEAD + b"Content-Length: 9\r\n\r\n123456789more", b"123456789", True),
    "the same length twice": (
        HEAD + b"content-length: 2\r\nContent-Length: 2\r\n\r\nab",
        b"ab",
        True,
    ),
    "no body": (HEAD + b"Content-Length: 0\r\n\r\n", b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "until the end": (HEAD + b"\r\nto the end", b"to the end", False),
    "an old server": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
    "an old server that goes on": (
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nab",
        b"ab",
        True,
    ),
    "one that closes": (HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
    "chunks": (
        HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        b"abc0123456789",
        True,
    ),
    "chunks win over a length": (
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"a",
        True,
    ),
    "an interim answer": (
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + HEAD + b"Content-Length: 1\r\n\r\na",
        b"a",
        True,
    ),
    "bare line feeds": (b"HTTP/1.1 200\nContent-Length: 1\n\na", b"a", True),
}
BAD: dict[str, tuple[bytes, type[HttpError]]] = {
    "nothing": (b"", NoAnswerError),
    "half a status": (b"HTTP/1.1 20", CutShortError),
    "half the headers": (HEAD + b"Content-", CutShortError),
    "headers without end": (HEAD + b"Content-Length: 3\r\n", CutShortError),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", HttpError),
    "another version": (b"HTTP/2 200 OK\r\n\r\n", HttpError),
    "a status of letters": (b"HTTP/1.1 2x0 OK\r\n\r\n", HttpError),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", HttpError),
    "a line without end": (HEAD + b"X: " + b"a" * http1.MAX_LINE_BYTES + b"\r\n\r\n", HttpError),
    "too many headers": (HEAD + b"X: y\r\n" * (http1.MAX_HEADERS + 1) + b"\r\n", HttpError),
    "interim answers without end": (b"HTTP/1.1 100 Go on\r\n\r\n" * 99, HttpError),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", HttpError),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n", HttpError),
    "a length with a sign": (HEAD + b"Content-Length: +1\r\n\r\na", HttpError),
    "an endless length": (HEAD + b"Content-Length: " + b"9" * 20 + b"\r\n\r\na", HttpError),
    "another coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\na", HttpError),
    "a header without a colon": (HEAD + b"oops\r\n\r\n", HttpError),
    "a folded header": (HEAD + b"X: y\r\n z\r\n\r\n", HttpError),
    "a space before the colon": (HEAD + b"Content-Length : 1\r\n\r\na", HttpError),
    "no size": (CHUNKS + b"\r\n", HttpError),
    "an odd size": (CHUNKS + b"0x1\r\na\r\n", HttpError),
    "a chunk too long": (CHUNKS + b"1\r\nab\r\n", HttpError),
    "a chunk cut short": (CHUNKS + b"5\r\nab", CutShortError),
    "no last chunk": (CHUNKS + b"1\r\na\r\n", CutShortError),
}


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_is_read_to_its_end(name: str) -> None:
    sent, body, keeps_open = GOOD[name]
    response, found = answered(sent)

    assert (found, response.keeps_open) == (body, keeps_open)
    assert response.isclosed()
    assert not response.length


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_http_is_an_error(name: str) -> None:
    sent, kind = BAD[name]
    with pytest.raises(HttpError) as caught:
        answered(sent)

    assert type(caught.value) is kind


def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    response, body = answered(HEAD + b"Content-Length: 5\r\n\r\n", "HEAD")

    assert body == b""
    assert response.getheader("content-LENGTH") == "5"
    assert response.keeps_open


def test_what_is_missing_of_a_body_is_told() -> None:
    response, body = answered(HEAD + b"Content-Length: 20\r\n\r\nabc")

    assert body == b"abc"
    assert response.length == 17


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_an_error(sent: bytes) -> None:
    for start in (b"", HEAD, CHUNKS):
        try:
            _, body = answered(start + sent)
        except HttpError:
            continue
        assert len(body) <= len(sent)


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked: the independent other side."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        told = f"{self.command} {self.path} {self.headers['Host']} {len(body)}".encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_POST = do_PUT  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_bodies_of_every_kind_arrive_over_one_connection(port: int) -> None:
    connection = Connection("127.0.0.1", port, 5)
    connection.connect()
    for body, headers, size in (
        (b"abc", {}, 3),
        (b"x" * 200_000, {}, 200_000),
        (iter([b"ab", b"cd"]), {"Content-Length": "4"}, 4),
        (None, {}, 0),
    ):
        connection.request("POST", "/a?b=c", body, headers)
        response = connection.getresponse(Patience(30, 30))
        assert response.status == 201
        assert response.read(1000).decode() == f"POST /a?b=c 127.0.0.1:{port} {size}"
        assert connection.sock is not None
    connection.close()


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nX: y", {}),
        ("/\x7f", {}),
        ("/ä", {}),
        ("/", {"X": "a\r\nY: b"}),
        ("/", {"X\n": "a"}),
        ("/", {"X": "\N{SNOWMAN}"}),
    ],
)
def test_nothing_breaks_out_of_its_line(port: int, target: str, headers: dict[str, str]) -> None:
    connection = Connection("127.0.0.1", port, 5)
    connection.connect()
    with pytest.raises(BadAddressError):
        connection.request("GET", target, None, headers)
    connection.close()


@pytest.mark.parametrize("host", ["", "a b", "a\nb"])
def test_a_host_is_a_word(host: str) -> None:
    with pytest.raises(BadAddressError):
        Connection(host, 1, 1).connect()


def test_a_host_is_named_with_its_port_where_it_is_not_the_usual_one() -> None:
    assert Connection("::1", 80, 1).netloc == "[::1]"
    assert Connection("::1", 8080, 1).netloc == "[::1]:8080"
    assert Connection("registry.example", None, 1).netloc == "registry.example"
