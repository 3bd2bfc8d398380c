"""A small token server (distribution, "Token Authentication Specification").

Its JWTs are real: the registry verifies signature, issuer, audience, times and access itself.
Whoever gives the right user name and password gets what was asked for; whoever gives none gets
``pull`` on repositories below ``public/``.
"""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.certificates import KeyPair, sign

ISSUER = "uaitrain-test-issuer"
SERVICE = "uaitrain-test-registry"


@dataclass(frozen=True)
class TokenRequest:
    method: str
    username: str
    scopes: tuple[str, ...]


@dataclass
class TokenServer:
    """Running; ``requests`` are those it got, ``refresh_token`` one it takes for a password.

    ``valid_for`` is how long (seconds) a token is good from now, ``told`` what its answer says
    about that; the registry has a leeway of 60 seconds. ``withhold`` names actions that are
    never granted.
    """

    url: str
    username: str
    password: str
    signer: KeyPair
    refresh_token: str = "refresh-me"  # noqa: S105 a made-up value of a test server
    valid_for: int = 300
    told: int = 300
    withhold: frozenset[str] = frozenset()
    requests: list[TokenRequest] = field(default_factory=list)

    def token(self, username: str, scopes: tuple[str, ...]) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": username,
            "iat": now - 120,
            "nbf": now - 120,
            "exp": now + self.valid_for,
            "jti": f"{now}-{next(_COUNTER)}",
            "access": [grant for scope in scopes if (grant := self._grant(username, scope))],
        }
        pem = self.signer.certificate.read_text()
        header = {"typ": "JWT", "alg": "ES256", "x5c": ["".join(pem.splitlines()[1:-1])]}
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{_base64url(sign(self.signer.key, signed.encode()))}"

    def _grant(self, username: str, scope: str) -> dict[str, object] | None:
        kind, name, actions = scope.split(":", 2)
        allowed = {"pull", "push", "delete", "*"} if username else {"pull"}
        if not username and not name.startswith("public/"):
            return None
        wanted = [a for a in actions.split(",") if a in allowed - self.withhold]
        return {"type": kind, "name": name, "actions": wanted}


_COUNTER = itertools.count()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            username, password = "", ""
            kind, _, value = self.headers.get("Authorization", "").partition(" ")
            if kind.lower() == "basic":
                username, _, password = base64.b64decode(value).decode().partition(":")
            self._answer(query, username, not username or password == server.password)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = urllib.parse.parse_qs(body)
            right = form.get("refresh_token") == [server.refresh_token] or (
                form.get("password") == [server.password]
            )
            self._answer(form, server.username, right)

        def _answer(self, query: dict[str, list[str]], username: str, right: bool) -> None:
            scopes = tuple(itertools.chain(*(s.split() for s in query.get("scope", []))))
            server.requests.append(TokenRequest(self.command, username, scopes))
            if not right or (username and username != server.username):
                self._send(401, {"errors": [{"code": "UNAUTHORIZED", "message": "no"}]})
                return
            token = server.token(username, scopes)
            key = "access_token" if self.command == "POST" else "token"
            self._send(200, {key: token, "expires_in": server.told})

        def _send(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def running_token_server(
    signer: KeyPair, username: str, password: str, tls: KeyPair | None = None
) -> Iterator[TokenServer]:
    """On a free loopback port until the block ends."""
    state = TokenServer("", username, password, signer)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(state)) as http:
        http.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        scheme = "https" if tls else "http"
        state.url = f"{scheme}://127.0.0.1:{http.server_address[1]}/token"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            http.shutdown()
            thread.join()
