"""Who we are to one registry: basic and bearer-token authentication.

Protocols: RFC 7617; distribution, "Token Authentication Specification" and "OAuth2 Token
Authentication". Credentials go to the registry's host and to the token server it names, and
nowhere else.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from uaitrain.errors import CredentialsError, RegistryError
from uaitrain.registry.credentials import Credentials
from uaitrain.registry.failures import redact, refusal
from uaitrain.registry.transport import Transport, is_loopback
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from uaitrain.registry.challenge import Challenge

Scope = frozenset[tuple[str, str]]
"""Pairs of a resource (``repository:team/mnist``) and an action (``pull``)."""

_SHORTEST_LIFE = 60.0
"""Seconds a token lives when its server does not say (the specification's default)."""
_LONGEST_LIFE = 86400.0
"""Seconds that a token is believed to live, whatever its server says."""
MAX_TOKEN_BYTES = 64 * 1024
"""It goes back in a header, of which servers take 8 KB at least and hardly ever 64."""
_MARGIN = 10.0
"""Seconds before its end at which a token counts as spent."""


def scope_of(repository: str, *actions: str) -> Scope:
    return frozenset((f"repository:{repository}", action) for action in actions)


def parse_scope(text: str) -> Scope:
    pairs = set()
    for word in text.split():
        resource, _, actions = word.rpartition(":")
        pairs |= {(resource, action) for action in actions.split(",") if action}
    return frozenset(pairs)


def render_scope(scope: Scope) -> list[str]:
    """One ``type:name:actions`` for each resource, always in the same order."""
    resources = sorted({resource for resource, _ in scope})
    return [f"{r}:{','.join(sorted(a for name, a in scope if name == r))}" for r in resources]


@dataclass(frozen=True)
class _Token:
    value: str
    ends: float

    @property
    def fresh(self) -> bool:
        return time.monotonic() < self.ends


class Authorizer:
    """Authorization headers for ``host``; asks ``lookup`` for credentials at the first 401.

    ``host`` is where requests go (with port), ``name`` what the user calls it. Thread safe.
    """

    def __init__(
        self, transport: Transport, host: str, name: str, lookup: Callable[[], Credentials | None]
    ) -> None:
        self._transport = transport
        self._host = host
        self._name = name
        self._lookup = lookup
        self._lock = threading.RLock()
        self._looked = False
        self._credentials: Credentials | None = None
        self._bearer: Challenge | None = None
        self._basic = ""
        self._tokens: dict[Scope, _Token] = {}

    def header(self, scope: Scope) -> str:
        """What to send at once for ``scope``; "" while the registry has not asked for anything."""
        with self._lock:
            if self._basic:
                return self._basic
            if self._bearer is None:
                return ""
            return self._known(scope) or self._fetch(scope)

    def renew(self, challenge: str, scope: Scope, sent: str) -> str:
        """Another header after a 401 with ``challenge`` to a request that carried ``sent``.

        Raises CredentialsError where there is none to be had.
        """
        from uaitrain.registry.challenge import parse_challenges

        with self._lock:
            challenges = {c.scheme: c for c in reversed(parse_challenges(challenge))}
            bearer = challenges.get("bearer")
            if bearer and "realm" in bearer.parameters:
                self._bearer, self._basic = bearer, ""
                wanted = scope | parse_scope(bearer.parameters.get("scope", ""))
                known = self._known(wanted)
                if known and known != sent:
                    return known
                return self._fetch(wanted)
            if "basic" in challenges:
                return self._answer_basic(sent)
            raise CredentialsError(
                f"{self._name} asks for a login that uaitrain does not know: "
                f"{', '.join(sorted(challenges))[:200] or 'no scheme named'}",
                allowed="Basic or Bearer authentication",
                next_step="check the registry's host and port",
            )

    def refused(self) -> CredentialsError | None:
        """Why a request that carried all we have was still refused, where that is plain."""
        own = self._own()
        if own is None:
            return self._missing()
        return self._wrong(own) if self._basic else None

    def _known(self, scope: Scope) -> str:
        for granted, token in self._tokens.items():
            if scope <= granted and token.fresh:
                return f"Bearer {token.value}"
        return ""

    def _own(self) -> Credentials | None:
        if not self._looked:
            self._credentials = self._lookup()
            self._looked = True
        return self._credentials

    def _answer_basic(self, sent: str) -> str:
        own = self._own()
        if own is None or not own.username:
            raise self._missing()
        header = _basic(own)
        if header == sent:
            raise self._wrong(own)
        self._basic = header
        return header

    def _missing(self) -> CredentialsError:
        return CredentialsError(
            f"{self._name} asks for a user name and password, and none are known for it",
            allowed="--password-stdin, UAITRAIN_REGISTRY_USERNAME and _PASSWORD, or a login by "
            "docker or podman",
            next_step=f"docker login {self._name}",
        )

    def _wrong(self, own: Credentials) -> CredentialsError:
        return CredentialsError(
            f"{self._name} refuses the user name or password of {own.username!r} "
            f"(from {own.origin})",
            next_step=f"correct it there, or log in again with: docker login {self._name}",
        )

    def _fetch(self, scope: Scope) -> str:
        assert self._bearer
        realm, service = self._bearer.parameters["realm"], self._bearer.parameters.get("service")
        plain = self._check_realm(realm)
        fields = [("service", service)] if service else []
        scopes = render_scope(scope)
        own = self._own()
        if own and own.identity_token:
            # OAuth2 wants all scopes in one field, separated by blanks.
            form = [
                *fields,
                ("grant_type", "refresh_token"),
                ("client_id", "uaitrain"),
                ("scope", " ".join(scopes)),
                ("refresh_token", own.identity_token.reveal()),
            ]
            answer = self._transport.request(
                "POST",
                realm,
                {"Content-Type": "application/x-www-form-urlencoded"},
                urlencode(form).encode(),
                plain=plain,
            )
        else:
            query = urlencode([*fields, *(("scope", s) for s in scopes)])
            headers = {"Authorization": _basic(own)} if own and own.username else {}
            url = f"{realm}{'&' if '?' in realm else '?'}{query}"
            answer = self._transport.request("GET", url, headers, plain=plain)
        if answer.status in (400, 401, 403):
            raise self._wrong(own) if own else self._missing()
        if answer.status != 200:
            raise refusal(answer, f"get a token for {self._name}")
        token = _read_token(answer.body, realm)
        # Tokens that a smaller scope was fetched with are of no more use.
        self._tokens = {s: t for s, t in self._tokens.items() if not s <= scope}
        self._tokens[scope] = token
        return f"Bearer {token.value}"

    def _check_realm(self, realm: str) -> bool:
        """Whether the token server may be asked in plain HTTP; refuses where it may not."""
        try:
            parts = urlsplit(realm)
        except ValueError:
            raise CredentialsError(
                f"{self._name} names a broken address as its token server: {realm[:100]!r}",
                allowed="a token server with HTTPS",
                next_step="tell the registry's owner; nothing was sent there",
            ) from None
        bare = self._transport.url(self._host).startswith("http:")
        plain = bare or is_loopback(parts.netloc)
        if parts.scheme == "https" or (parts.scheme == "http" and plain):
            return plain
        raise CredentialsError(
            f"{self._name} wants the password sent to {redact(realm)}",
            allowed="a token server with HTTPS",
            next_step="tell the registry's owner; nothing was sent there",
        )


def _basic(own: Credentials) -> str:
    import base64

    pair = f"{own.username}:{own.password.reveal()}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _read_token(body: bytes, realm: str) -> _Token:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    token = (value.get("token") or value.get("access_token")) if isinstance(value, dict) else None
    if (
        not isinstance(token, str)
        or not token.isascii()
        or not token.isprintable()
        or len(token) > MAX_TOKEN_BYTES
    ):
        raise RegistryError(
            f"the token server {redact(realm)} gave no token",
            next_step="check the registry's host and port; its login server is broken",
        )
    life = value.get("expires_in")
    seconds = _SHORTEST_LIFE
    if isinstance(life, int | float) and life > 0:
        seconds = float(min(life, _LONGEST_LIFE))
    return _Token(token, time.monotonic() + max(seconds - _MARGIN, seconds / 2))
