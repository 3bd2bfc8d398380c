"""What ``http1``, ``ssl`` and the socket raise, as errors that say what to do."""

from __future__ import annotations

import socket
import sys

from uaitrain.errors import RegistryError
from uaitrain.registry import http1
from uaitrain.registry.failures import (
    SilentError,
    TransientError,
    UnreachableError,
    WrongSchemeError,
)

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


def _is_tls(error: Exception) -> bool:
    """Who has not loaded TLS has no error of it."""
    module = sys.modules.get("ssl")
    return module is not None and isinstance(error, module.SSLError)


def _tls_error(error: Exception, host: str) -> RegistryError:
    import ssl

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


def not_connected(error: Exception, host: str, *, proxied: bool) -> RegistryError:
    """The error for a connection that did not come about."""
    if _is_tls(error):
        return _tls_error(error, host)
    if proxied:
        return UnreachableError(
            f"{host}: the proxy does not let us through",
            next_step="check HTTPS_PROXY and NO_PROXY",
        )
    if isinstance(error, socket.gaierror):
        return UnreachableError(
            f"{host}: no such host name is known",
            next_step="check the registry's name and this machine's network",
        )
    if isinstance(error, TimeoutError):
        return UnreachableError(
            f"{host} does not answer: no connection within the time limit",
            next_step="check the registry's name and port, and whether a proxy is needed",
        )
    if isinstance(error, ConnectionResetError):
        return converted(error, host)
    reason = getattr(error, "strerror", None) or "no connection"
    return UnreachableError(
        f"{host} cannot be reached: {reason}",
        next_step="check that the registry runs, its name and its port",
    )


def cut_short(host: str) -> TransientError:
    """The error for an answer or a connection that ended in the middle."""
    return TransientError(
        f"{host} broke the connection off", next_step="try again; look at the registry's log"
    )


def converted(error: Exception, host: str) -> RegistryError:
    """The error for an exchange that failed on a connection that stood."""
    if _is_tls(error):
        return _tls_error(error, host)
    if isinstance(error, TimeoutError):
        return SilentError(
            f"{host} fell silent: nothing came within the time limit",
            next_step="the registry or the network is too slow or hangs; try again later",
        )
    is_odd = isinstance(error, http1.HttpError) and not isinstance(
        error, ConnectionError | http1.CutShortError
    )
    if is_odd:
        return RegistryError(
            f"{host} answers, but not in HTTP",
            allowed="a registry with the HTTP API v2 (OCI distribution)",
            next_step="check the registry's host and port",
        )
    return cut_short(host)
