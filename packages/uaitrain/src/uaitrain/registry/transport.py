"""Requests to registries: which scheme, how often, where redirects may lead.

How long one request can take at most: connecting 10 s for each of the host's addresses, an answer
60 s of silence and 120 s in all; ``attempts`` of that and ``patience`` seconds of pauses between
them (:class:`Retry`), what a server asks for by Retry-After included, and none of them begun later
than ``whole`` seconds after the first. A host that never answered is not waited for, and one that
fell silent is asked only once more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from uaitrain.errors import RegistryError
from uaitrain.registry.failures import (
    RETRIED,
    SilentError,
    TransientError,
    UnreachableError,
    WrongSchemeError,
    is_full,
    redact,
    retry_after,
)
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.registry.wire import Answer, Wire

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WITH_BODY = frozenset({307, 308})
"""Redirects that leave method and body as they are (RFC 9110, 15.4.8)."""
_MOST_REDIRECTS = 5
_TLS_PORT_SAYS = (b"HTTP request to an HTTPS server", b"HTTP request was sent to HTTPS port")
_VERSION = "uaitrain"


@dataclass(frozen=True)
class Retry:
    """Pauses of ``first``, twice that and so on up to ``longest`` seconds, with jitter.

    ``patience`` limits the pauses together, ``whole`` when a small request is sent anew.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 8.0
    patience: float = 120.0
    whole: float = 300.0


class Backoff:
    """The pauses between the attempts of one piece of work."""

    def __init__(self, retry: Retry, sleep: Callable[[float], object]) -> None:
        self._retry = retry
        self._sleep = sleep
        self.reset()

    def reset(self) -> None:
        """There was progress: start counting anew."""
        self._left = self._retry.attempts - 1
        self._next = self._retry.first
        self._patience = self._retry.patience

    def pause(self, asked: float | None = None) -> bool:
        """Wait, ``asked`` seconds if the server said so; False when it is time to give up."""
        import random

        # Jitter keeps many clients from coming back at the same moment.
        seconds = self._next * random.uniform(0.5, 1.0)  # noqa: S311 no secret is drawn here
        if asked is not None:
            seconds = max(seconds, asked)
        if self._left <= 0 or seconds > self._patience:
            return False
        self._left -= 1
        self._patience -= seconds
        self._next = min(self._next * 2, self._retry.longest)
        self._sleep(seconds)
        return True


def is_loopback(netloc: str) -> bool:
    """Whether ``host`` or ``host:port`` is this machine."""
    name = (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if name.startswith("127."):
        return all(part.isdigit() for part in name.split("."))
    if ":" not in name:
        return False
    import ipaddress

    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Transport:
    """Safe to use from several threads. ``insecure`` hosts (``host`` or ``host:port``) and this
    machine may be talked to in plain HTTP; a scheme that turns out wrong there is corrected.

    ``connect_seconds`` limits connecting, ``silence_seconds`` each pause of the other side.
    """

    def __init__(
        self,
        *,
        insecure: Iterable[str] = (),
        ca_file: Path | None = None,
        retry: Retry | None = None,
        connect_seconds: float = 10.0,
        silence_seconds: float = 60.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._insecure = frozenset(insecure)
        self._ca_file = ca_file
        self._retry = retry or Retry()
        self._limits = (connect_seconds, silence_seconds)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._opened: Wire | None = None
        self._answered: set[str] = set()
        self._schemes: dict[str, str] = {}

    def plain_allowed(self, netloc: str) -> bool:
        """Whether plain HTTP may be spoken to this ``host:port``."""
        name = urlsplit(f"//{netloc}").hostname or ""
        return is_loopback(netloc) or netloc in self._insecure or name in self._insecure

    def url(self, netloc: str, path: str = "/") -> str:
        """The address of ``path`` there, in the scheme that the host is known to speak."""
        if netloc not in self._schemes:
            tls = not self.plain_allowed(netloc) or netloc.endswith(":443")
            tls = tls or (self._ca_file is not None and is_loopback(netloc))
            self._schemes[netloc] = "https" if tls else "http"
        return f"{self._schemes[netloc]}://{netloc}{path}"

    def backoff(self) -> Backoff:
        return Backoff(self._retry, self._sleep)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        stream: bool = False,
        plain: bool = False,
    ) -> Answer:
        """Send, and send again what may work then; redirects are followed, for other methods than
        GET and HEAD only where those are meant too.

        Gives the last answer, also a bad one (see ``failures.refusal``). ``plain`` permits HTTP
        to a host that is not named insecure. Raises RegistryError.
        """
        backoff = self.backoff()
        netloc = urlsplit(url).netloc
        ends = time.monotonic() + self._retry.whole
        silent = False
        while True:
            try:
                answer = self._follow(method, url, headers or {}, body, stream, plain)
            except UnreachableError:
                if netloc not in self._answered or not backoff.pause():
                    raise
                continue
            except TransientError as error:
                again = silent and isinstance(error, SilentError)
                silent = isinstance(error, SilentError)
                if again or time.monotonic() > ends or not backoff.pause():
                    raise
                continue
            if answer.status not in RETRIED or is_full(answer) or time.monotonic() > ends:
                return answer
            if not backoff.pause(retry_after(answer)):
                return answer

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes],
        *,
        extra_seconds: float = 0.0,
    ) -> Answer:
        """One attempt with a body that is made while it is sent; the answer may take
        ``extra_seconds`` longer than others. Raises RegistryError.
        """
        return self._exchange(method, url, headers, body, extra_seconds=extra_seconds)

    def close(self) -> None:
        if self._opened:
            self._opened.close()

    def _wire(self) -> Wire:
        with self._lock:
            if self._opened is None:
                from uaitrain.registry.wire import Wire

                self._opened = Wire(self._ca_file, *self._limits)
            return self._opened

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        stream: bool,
        plain: bool,
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._exchange(method, url, headers, body, stream=stream, plain=plain)
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not target:
                return answer
            try:
                following = urljoin(answer.url, target)
                moves = urlsplit(following)[:2] != urlsplit(answer.url)[:2]
            except ValueError:
                raise RegistryError(
                    f"{answer.host} redirects to a broken address: {target[:100]!r}",
                    next_step="check the registry's host and port",
                ) from None
            # A body may hold a login (a token server's form): no other host gets it.
            resent = answer.status in _WITH_BODY and not (body and moves)
            if method not in ("GET", "HEAD") and not resent:
                return answer
            answer.close()
            if moves:
                headers = {k: v for k, v in headers.items() if k.lower() != "authorization"}
            url = following
        raise RegistryError(
            f"{urlsplit(url).netloc} redirects in circles: {redact(url)}",
            next_step="check the registry's host and port",
        )

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        *,
        stream: bool = False,
        plain: bool = False,
        extra_seconds: float = 0.0,
    ) -> Answer:
        parts = urlsplit(url)
        self._check_scheme(parts.scheme, parts.netloc, plain)
        sent = {"User-Agent": _VERSION, "Accept-Encoding": "identity", **headers}
        replayable = body is None or isinstance(body, bytes)
        correctable = replayable and self.plain_allowed(parts.netloc)
        other = ""
        try:
            answer = self._wire().send(
                method,
                url,
                sent,
                body,
                stream=stream,
                proxied=not is_loopback(parts.netloc),
                extra_seconds=extra_seconds,
            )
            if correctable and any(says in answer.body for says in _TLS_PORT_SAYS):
                other = "https"
        except WrongSchemeError:
            if not correctable:
                raise
            other = "http"
        if other and other != parts.scheme:
            self._schemes[parts.netloc] = other
            url = parts._replace(scheme=other).geturl()
            return self._exchange(method, url, headers, body, stream=stream, plain=plain)
        self._answered.add(parts.netloc)
        return answer

    def _check_scheme(self, scheme: str, netloc: str, plain: bool) -> None:
        if scheme == "https" or (scheme == "http" and (plain or self.plain_allowed(netloc))):
            return
        raise RegistryError(
            f"refused to speak {scheme or 'an unknown scheme'} to {netloc}",
            allowed="HTTPS; plain HTTP only on this machine and for hosts that you name",
            next_step=f"if you trust the network between: --insecure-registry {netloc}",
        )
