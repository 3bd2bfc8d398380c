"""Foreign text made fit to be shown: no escape sequence of an image reaches a terminal."""

from __future__ import annotations

from typing import Any


def shown(text: object) -> str:
    """``text`` on one line; what is not printable (controls, bidirectional marks, bytes that are
    no UTF-8) becomes a backslash escape."""
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def shown_json(value: Any) -> Any:
    """The same for every string of a JSON value, whose own escapes keep ASCII controls away."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c < " " else _escaped(c) for c in value)
    if isinstance(value, dict):
        return {shown_json(str(key)): shown_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown_json(each) for each in value]
    return value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
