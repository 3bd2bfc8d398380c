"""What the platform's refusals and the network's failures mean.

Common codes: https://docs.ucloud.cn/api/summary/public. Product codes are passed on as they are.
"""

from __future__ import annotations

from uaitrain.errors import BackendError, CredentialsError, UaitrainError
from uaitrain.values import dataclass

BAD_KEYS = frozenset({170, 171, 172, 174})
"""Signature missing or wrong, no such user, no such token."""

THROTTLED = frozenset({153})
PASSING = frozenset({110, 130, 150})
"""No answer within the API's 60 seconds, the gateway's trouble, not available now."""

NO_PERMISSION = 299
HINTS = {
    292: "no such project: look at [uai] project",
    293: "no right to use the zone: look at [uai] zone",
    294: "the account takes calls from listed addresses only; see its settings in the console",
    295: "the account's security lock refuses it; see its settings in the console",
    NO_PERMISSION: "the right is missing; a sub-account must also name its project: [uai] project",
    520: "the account's balance is too low",
}

_SHOWN = 500


@dataclass(frozen=True)
class Failure:
    """``error`` is what the user is told. ``again``: asking again may help. ``unsure``: the
    platform may have done what it was asked to."""

    error: UaitrainError
    again: bool = False
    unsure: bool = False


def of_code(action: str, code: int, message: str) -> Failure:
    """The platform answered, and ``RetCode`` is not 0."""
    told = f"{action}: UCloud answers {code}: {plain(message) or 'no message'}"
    if code in BAD_KEYS:
        return Failure(
            CredentialsError(
                told,
                allowed="the keys of an account that may use the platform",
                next_step="look at UCLOUD_PUBLIC_KEY and UCLOUD_PRIVATE_KEY, or [uai] profile",
            )
        )
    error = BackendError(told, next_step=HINTS.get(code, ""))
    return Failure(error, again=code in THROTTLED | PASSING, unsure=code in PASSING)


def of_status(action: str, url: str, status: int) -> Failure:
    """No answer of the API, but a status of HTTP."""
    hint = "look at [uai] url" if status < 500 and status != 429 else ""
    error = BackendError(f"{action}: {url} answers HTTP {status}", next_step=hint)
    return Failure(error, again=status == 429 or status >= 500, unsure=status >= 500)


def of_network(action: str, url: str, *, reason: str, sent: bool) -> Failure:
    error = BackendError(
        f"{action}: {url} cannot be reached: {reason}",
        next_step="look at the network, at the proxy's variables, and at [uai] url",
    )
    return Failure(error, again=True, unsure=sent)


def of_certificate(action: str, url: str) -> Failure:
    error = BackendError(
        f"{action}: {url} shows a certificate that is not trusted",
        next_step="REQUESTS_CA_BUNDLE names a file with one more authority",
    )
    return Failure(error)


def unreadable(action: str, url: str, what: str) -> BackendError:
    return BackendError(
        f"{action}: {url} answers something that is not the platform's: {what}",
        next_step="look at [uai] url",
    )


def plain(text: str) -> str:
    """Somebody else's words in one line that acts on no terminal."""
    words = "".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN])
    return " ".join(words.split())[:_SHOWN]
