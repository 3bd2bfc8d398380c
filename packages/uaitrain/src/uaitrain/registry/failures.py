"""What can go wrong between us and a registry, as errors that say what to do.

    RegistryError
    ├── TransientError       may work when tried again
    │   ├── SilentError          nothing came within the time limit
    │   └── UnreachableError     no connection came about
    ├── DamagedError         a manifest that the registry cannot read
    ├── MissingBlobsError    a manifest whose blobs the registry does not have
    └── WrongSchemeError     HTTP spoken where HTTPS is, or the other way round
The rest of the tree is in :mod:`uaitrain.errors`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from uaitrain.errors import CredentialsError, DigestError, NotFoundError, RegistryError
from uaitrain.typed import Protocol

RETRIED = frozenset({408, 429, 499, 500, 502, 503, 504})
"""Statuses after which the same request may succeed; 499 is what distribution answers to a request
that somebody between broke off."""

_SHOWN_PARAMETERS = frozenset({"service", "scope", "n", "last", "mount", "from", "digest", "ns"})
_ODD = frozenset({400, 404, 405, 410})
"""Refusals that a registry explains in JSON and that any web server gives without."""
_FULL = (b"no space left", b'"Err":28', b'"Err":122', b"quota exceeded")


class TransientError(RegistryError):
    """``wait`` is how many seconds the registry asked us to stay away."""

    wait: float | None = None


class SilentError(TransientError):
    pass


class UnreachableError(TransientError):
    pass


class WrongSchemeError(RegistryError):
    pass


class DamagedError(RegistryError):
    pass


class MissingBlobsError(RegistryError):
    """``digests`` are those that the registry names; it may name none."""

    digests: frozenset[str] = frozenset()


class Answered(Protocol):
    """As much of a response as a message needs."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def url(self) -> str: ...


def redact(url: str) -> str:
    """``url`` as it may be shown: no user, and only parameters known to hold no secret."""
    parts = urlsplit(url)
    query = "&".join(
        f"{name}={value if name in _SHOWN_PARAMETERS else '***'}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def printable(text: str, limit: int = 300) -> str:
    """What a server wrote, made harmless for a terminal and cut."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def registry_errors(body: bytes) -> list[tuple[str, str]]:
    """Code and message of each entry (distribution-spec, "Error Codes"); [] for anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return []
    entries = value.get("errors") if isinstance(value, dict) else None
    return [
        (str(entry.get("code", "")), str(entry.get("message", "")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def is_full(answer: Answered) -> bool:
    """Whether the registry failed for want of space."""
    return answer.status == 507 or (
        answer.status >= 400 and any(mark in answer.body for mark in _FULL)
    )


def is_registry(answer: Answered) -> bool:
    """Whether what answered is a registry at all."""
    return "docker-distribution-api-version" in {h.lower() for h in answer.headers} or bool(
        registry_errors(answer.body)
    )


_Refusal = Callable[[str, str, str], RegistryError]
_BY_CODE: dict[str, _Refusal] = {
    "DIGEST_INVALID": lambda host, doing, said: DigestError(
        f"{host} got other bytes than were sent: {doing}: {said}",
        next_step="they were damaged on the way; try again",
    ),
    "MANIFEST_INVALID": lambda host, doing, said: DamagedError(
        f"{host} does not take this manifest: {doing}: {said}",
        next_step="an old registry may know only Docker's format: try --manifest-format docker",
    ),
    "MANIFEST_BLOB_UNKNOWN": lambda host, doing, said: MissingBlobsError(
        f"{host} lacks blobs that it said it had: {doing}: {said}",
        next_step="try again; look at the registry's log: does it lose what it stores?",
    ),
    "DENIED": lambda host, doing, said: CredentialsError(
        f"{host} does not allow this user to {doing}: {said}",
        next_step="check the repository's name and the user's rights on it",
    ),
}
_BY_STATUS: dict[int, _Refusal] = {
    401: lambda host, doing, said: CredentialsError(
        f"{host} does not let this user {doing}: {said}",
        allowed="the user name and password of somebody who has that right",
        next_step=f"log in again with: docker login {host}",
    ),
    403: _BY_CODE["DENIED"],
    404: lambda host, doing, said: NotFoundError(
        f"{host} does not have it: {doing}: {said}",
        next_step="check the name and the tag; a private repository may need a login",
    ),
    415: _BY_CODE["MANIFEST_INVALID"],
}


def refusal(answer: Answered, doing: str) -> RegistryError:
    """The error for an answer that we cannot use. ``doing`` reads like "push mnist:v1"."""
    host = urlsplit(answer.url).netloc
    errors = registry_errors(answer.body)
    said = printable("; ".join(f"{code}: {text}" for code, text in errors)) or (
        f"HTTP {answer.status} from {redact(answer.url)}"
    )
    if is_full(answer):
        return RegistryError(
            f"{host} has no space left: {doing}: {said}",
            next_step="free space or raise the quota there, then push again: "
            "what is already there is not sent twice",
        )
    if answer.status in RETRIED:
        wait = retry_after(answer)
        asks = f" and asks to stay away for {wait:.0f} s" if wait else ""
        transient = TransientError(
            f"{host} answered HTTP {answer.status} again and again{asks}: {doing}: {said}",
            next_step="the registry is overloaded or broken; try again later",
        )
        transient.wait = wait
        return transient
    if answer.status in _ODD and not is_registry(answer):
        return RegistryError(
            f"{host} does not answer as a registry does: {doing}: {said}",
            allowed="a registry with the HTTP API v2 (OCI distribution)",
            next_step="check the registry's host and port",
        )
    for code, _ in errors:
        if code in _BY_CODE:
            error = _BY_CODE[code](host, doing, said)
            if isinstance(error, MissingBlobsError):
                error.digests = frozenset(re.findall(r"sha256:[0-9a-f]{64}", _text(answer.body)))
            return error
    if answer.status in _BY_STATUS:
        return _BY_STATUS[answer.status](host, doing, said)
    return RegistryError(
        f"{host} answered HTTP {answer.status}: {doing}: {said}",
        next_step="check that the host is a registry and what its log says",
    )


def retry_after(answer: Answered) -> float | None:
    """The pause in seconds that the server asks for (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    if not value:
        return None
    import time
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
