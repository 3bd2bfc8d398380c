"""Where Caffe's reader, protobuf's text format in C++, and the one in Python part ways.

Python's takes more: ``+1``, ``1_0``, ``"\\q"`` and a zero byte. It refuses ``- 1``, a sign with
space behind. This module sides with C++. What is left: we refuse ``force_backward: 0x1``, a sign
with its number on another line, and in texts ``\\400`` and up, escapes that are no character, and
bytes that are not UTF-8; and we take a byte order mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from caffe.schema.tree import Token

_ODD_NUMBER = re.compile(r"\+|-?[\d.]\w*_")
_BAD_ESCAPE = re.compile(r"\\(?:\\|(?P<bad>[4-7][0-7]{2}|[^abfnrtv?'\"0-7xXuU\\]))")


def disagreements(found: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    """The tokens that C++ does not take, and why."""
    for before, token in pairwise(found):
        if "\0" in token.text:
            yield token, "a zero byte"
        if token.kind == "word" and before.text == ":" and _ODD_NUMBER.match(token.text):
            yield token, f'"{token.text}" is no number'
        if token.kind == "text":
            bad = next((m for m in _BAD_ESCAPE.finditer(token.text) if m["bad"]), None)
            if bad:
                yield token, f'"{bad.group()}" is no escape in a text'


def without_loose_signs(text: str, found: Sequence[Token]) -> str:
    """``- 1`` as `` -1``, with every other character where it was."""
    lines: list[str] | None = None
    for sign, number in pairwise(found):
        loose = (sign.kind, sign.text, number.kind) == ("mark", "-", "word")
        if not loose or sign.line != number.line or number.column <= sign.column + 1:
            continue
        lines = lines if lines is not None else text.split("\n")
        line = lines[sign.line - 1]
        before, between = line[: sign.column - 1], line[sign.column : number.column - 2]
        lines[sign.line - 1] = f"{before} {between}-{line[number.column - 1 :]}"
    return text if lines is None else "\n".join(lines)
