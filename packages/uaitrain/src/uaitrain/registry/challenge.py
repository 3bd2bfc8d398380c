"""What a 401 asks for: the WWW-Authenticate header (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re

from uaitrain.values import dataclass

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 the grammar's word for a word
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_SCHEME = re.compile(rf"({_TOKEN})(?=\s|,|\Z)")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|\Z))")
MAX_CHARACTERS = 16 * 1024
"""Of one header; an honest one has some hundred. What comes after is not read."""
_GAP = re.compile(r"[\s,]+")


@dataclass(frozen=True)
class Challenge:
    """``scheme`` and the parameters' names are in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Every challenge in ``header``, in its order; what cannot be read ends the list."""
    header = header[:MAX_CHARACTERS]
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        if gap := _GAP.match(header, position):
            position = gap.end()
        elif (match := _PARAMETER.match(header, position)) and found:
            value = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
            found[-1].parameters.setdefault(match[1].lower(), value)
            position = match.end()
        elif match := _SCHEME.match(header, position):
            found.append(Challenge(match[1].lower(), {}))
            position = _skip_token68(header, match.end())
        else:
            break
    return found


def _skip_token68(header: str, position: int) -> int:
    """Past the opaque word that some schemes have instead of parameters (``Negotiate abc==``)."""
    start = len(header) - len(header[position:].lstrip(" \t"))
    if start == position or _PARAMETER.match(header, start):
        return position
    match = _TOKEN68.match(header, start)
    return match.end() if match else position
