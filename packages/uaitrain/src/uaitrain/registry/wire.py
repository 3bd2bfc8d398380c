"""One request and its answer: the only module that knows urllib3.

Import it lazily: urllib3 takes longer to load than the rest of us together.
Every exception of urllib3 becomes a RegistryError here.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3 import exceptions

from uaitrain.errors import RegistryError, UsageError
from uaitrain.oci.descriptor import MAX_MANIFEST_BYTES
from uaitrain.registry.failures import (
    SilentError,
    TransientError,
    UnreachableError,
    WrongSchemeError,
)

CHUNK = 1024 * 1024
"""Bytes in one read or write."""


class _PatientHTTP(urllib3.connection.HTTPConnection):
    """The time limit for connecting is not the one for sending."""

    patience = 60.0

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.patience)


class _PatientHTTPS(urllib3.connection.HTTPSConnection):
    patience = 60.0

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.patience)


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PatientHTTP


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PatientHTTPS


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class Answer:
    """A response. ``body`` is read already, except where a stream was asked for and granted."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, stream: bool) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url = url
        self.host = urlsplit(url).netloc
        self.body = b""
        if not (stream and self.status < 300):
            self.body = self._read_all(MAX_MANIFEST_BYTES + 1)
            self.close()

    def read(self, amount: int) -> bytes:
        """At most ``amount`` bytes; b"" at the end. Raises TransientError when it breaks off."""
        try:
            return self._response.read(amount, decode_content=False)
        except (exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            self.close()
            raise converted(error, self.host) from None

    def _read_all(self, limit: int) -> bytes:
        """Up to ``limit`` bytes; only the read after the last byte tells a body cut short."""
        found = b""
        while len(found) < limit and (data := self.read(limit - len(found))):
            found += data
        return found

    def close(self) -> None:
        """Give the connection back when all was read, else end it."""
        with contextlib.suppress(exceptions.HTTPError, OSError, http.client.HTTPException):
            if self._response.length_remaining == 0:
                self._response.release_conn()
            self._response.close()


class Wire:
    """Connection pools, TLS and proxies. Safe to use from several threads.

    ``connect_seconds`` limits connecting, ``silence_seconds`` each pause of the other side.
    """

    def __init__(
        self, ca_file: Path | None, connect_seconds: float, silence_seconds: float
    ) -> None:
        self._ca_file = ca_file
        self._timeouts = (connect_seconds, silence_seconds)
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

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
        parts = urlsplit(url)
        proxy = self._proxy(parts.scheme, parts.netloc) if proxied else ""
        connect, silence = self._timeouts
        try:
            response = self._pool(parts.scheme, proxy).request(
                method,
                url,
                headers=dict(headers),
                body=body,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=connect, read=silence + extra_seconds),
            )
            return Answer(response, url, stream)
        except (exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            raise converted(error, parts.netloc) from None
        except ValueError:
            raise RegistryError(f"{parts.netloc}: the registry gave a broken address") from None

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()

    def _pool(self, scheme: str, proxy: str) -> urllib3.PoolManager:
        with self._lock:
            if (scheme, proxy) not in self._pools:
                options: dict[str, Any] = {"maxsize": 16, "blocksize": CHUNK}
                if scheme == "https":
                    options["ssl_context"] = _tls(self._ca_file)
                pool = _proxy_manager(proxy, options) if proxy else urllib3.PoolManager(**options)
                pool.pool_classes_by_scheme = _POOLS
                self._pools[scheme, proxy] = pool
            return self._pools[scheme, proxy]

    @staticmethod
    def _proxy(scheme: str, host: str) -> str:
        proxies = getproxies_environment()
        proxy = proxies.get(scheme) or proxies.get("all") or ""
        if not proxy or proxy_bypass(host):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"


def _proxy_manager(proxy: str, options: Mapping[str, Any]) -> urllib3.PoolManager:
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https"):
        raise UsageError(
            f"the environment names a proxy of kind {parts.scheme!r}",
            allowed="http:// or https:// in HTTPS_PROXY, HTTP_PROXY, ALL_PROXY",
        )
    headers = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return urllib3.ProxyManager(address, proxy_headers=headers, **options)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, and ``ca_file``'s beside them."""
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


_TLS_ADVICE = {
    10: ("has expired", "its owner must renew it; is this machine's clock right?"),
    62: ("is for another host name", "use the name that the certificate gives"),
    64: ("is for another address", "use the name that the certificate gives"),
}
_UNKNOWN_CA = (
    "is signed by an authority that this machine does not know",
    "name the authority's certificate: --ca-file <file.pem>",
)
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")


def _tls_error(error: ssl.SSLError, host: str) -> RegistryError:
    if isinstance(error, ssl.SSLCertVerificationError):
        fault, advice = _TLS_ADVICE.get(getattr(error, "verify_code", 0), _UNKNOWN_CA)
        return RegistryError(f"{host}: the certificate {fault}", next_step=advice)
    reason = getattr(error, "reason", None) or "no reason given"
    if any(mark in reason for mark in _NOT_TLS):
        return WrongSchemeError(
            f"{host} does not speak HTTPS",
            allowed="plain HTTP only on this machine and for hosts that you name",
            next_step=f"if you trust the network between: --insecure-registry {host}",
        )
    if isinstance(error, ssl.SSLEOFError):
        return TransientError(f"{host} broke the TLS connection off")
    return RegistryError(f"{host}: TLS failed: {reason}")


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and all that it wraps, outermost first."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        here = waiting.pop(0)
        if here is None or here in found:
            continue
        found.append(here)
        waiting += [arg for arg in here.args if isinstance(arg, BaseException)]
        waiting += [here.__cause__, here.__context__, getattr(here, "reason", None)]
        waiting = [cause for cause in waiting if isinstance(cause, BaseException)]
    return found


def converted(error: Exception, host: str) -> RegistryError:
    """The RegistryError for whatever urllib3, ssl or the socket raised."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls_error(cause, host)
    if any(isinstance(c, exceptions.ProxyError) for c in causes):
        return UnreachableError(
            f"{host}: the proxy does not let us through",
            next_step="check HTTPS_PROXY and NO_PROXY",
        )
    if any(isinstance(c, exceptions.NameResolutionError) for c in causes):
        return UnreachableError(
            f"{host}: no such host name is known",
            next_step="check the registry's name and this machine's network",
        )
    if any(isinstance(c, exceptions.ConnectTimeoutError) for c in causes) and not any(
        isinstance(c, ConnectionError) for c in causes
    ):
        return UnreachableError(
            f"{host} does not answer: no connection within the time limit",
            next_step="check the registry's name and port, and whether a proxy is needed",
        )
    if any(isinstance(c, exceptions.NewConnectionError) for c in causes):
        reason = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "")
        return UnreachableError(
            f"{host} cannot be reached: {reason or 'no connection'}",
            next_step="check that the registry runs, its name and its port",
        )
    if any(isinstance(c, exceptions.TimeoutError | TimeoutError) for c in causes):
        return SilentError(
            f"{host} fell silent: nothing came within the time limit",
            next_step="the registry or the network is too slow or hangs; try again later",
        )
    if any(
        isinstance(c, http.client.HTTPException)
        and not isinstance(c, ConnectionError | http.client.IncompleteRead)
        for c in causes
    ):
        return RegistryError(
            f"{host} answers, but not in HTTP",
            allowed="a registry with the HTTP API v2 (OCI distribution)",
            next_step="check the registry's host and port",
        )
    return TransientError(
        f"{host} broke the connection off", next_step="try again; look at the registry's log"
    )
