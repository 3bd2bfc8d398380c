"""Where every field of a prototxt stands.

protobuf's text format tells a position only when it fails. This reader keeps all of them; it is
lenient, because :mod:`uaitrain.frameworks.prototxt` lets protobuf judge the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from uaitrain.values import dataclass, field

_LEXEME = r"""(?P<blank>[\s;,]+|\#[^\n]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>-?[\w.+]+(?:(?<=[eE])-\d+)?)
    |(?P<mark>.)"""
OPENING = {"{": "}", "<": ">"}


@dataclass(frozen=True)
class Token:
    """``kind`` is ``text`` (quoted), ``word``, ``mark`` or ``end``; both numbers count from 1."""

    kind: str
    text: str
    line: int
    column: int


@dataclass(frozen=True)
class Node:
    """One ``name: value`` or ``name { … }``. ``value`` is the last token of a scalar."""

    name: str
    line: int
    column: int
    value: Token | None = None
    children: tuple[Node, ...] = field(default=())

    def named(self, name: str) -> tuple[Node, ...]:
        """The children of that name, in the order of the message's repeated field."""
        return tuple(child for child in self.children if child.name == name)

    def at(self, name: str, index: int = 0) -> Node:
        """The child of that name, or this node where the prototxt does not say it."""
        found = self.named(name)
        return found[index] if index < len(found) else self


class NotATreeError(Exception):
    """The text is not name-value pairs."""


def tokens(text: str) -> Iterator[Token]:
    line, start = 1, 0
    for match in re.finditer(_LEXEME, text, re.VERBOSE):
        kind = match.lastgroup or "mark"
        if kind != "blank":
            yield Token(kind, match.group(), line, match.start() - start + 1)
        newlines = match.group().count("\n")
        if newlines:
            line += newlines
            start = match.start() + match.group().rindex("\n") + 1
    yield Token("end", "", line, len(text) - start + 1)


def tree(text: str) -> Node:
    """The whole text as the children of a nameless node. Raises NotATreeError."""
    stream = _Stream(list(tokens(text)))
    return Node("", 1, 1, children=_fields(stream, "end"))


def token_at(text: str, line: int, column: int) -> Token | None:
    """The token that begins there."""
    return next((t for t in tokens(text) if (t.line, t.column) == (line, column)), None)


def unclosed(text: str, line: int, column: int) -> Token | None:
    """The innermost bracket that is open at that place, if any of the text's is never closed."""
    opened: list[Token] = []
    there: Token | None = None
    for token in tokens(text):
        if (token.line, token.column) >= (line, column) and there is None:
            there = opened[-1] if opened else None
        if token.kind == "mark" and token.text in "{<[":
            opened.append(token)
        elif token.kind == "mark" and token.text in "}>]" and opened:
            opened.pop()
    return (there or opened[-1]) if opened else None


class _Stream:
    def __init__(self, found: list[Token]) -> None:
        self._found = found
        self._at = 0

    def peek(self) -> Token:
        return self._found[self._at]

    def take(self) -> Token:
        token = self._found[self._at]
        self._at = min(self._at + 1, len(self._found) - 1)
        return token


def _fields(stream: _Stream, end: str) -> tuple[Node, ...]:
    nodes: list[Node] = []
    while True:
        token = stream.take()
        if end in (token.kind, token.text) and token.kind != "text":
            return tuple(nodes)
        if token.kind != "word":
            raise NotATreeError(token)
        if stream.peek().text == ":":
            stream.take()
        nodes.extend(_values(stream, token))


def _values(stream: _Stream, name: Token) -> Iterator[Node]:
    if stream.peek().text != "[":
        yield _value(stream, name)
        return
    stream.take()
    while stream.peek().text != "]":
        if stream.peek().kind == "end":
            raise NotATreeError(name)
        yield _value(stream, name)
    stream.take()


def _value(stream: _Stream, name: Token) -> Node:
    token = stream.take()
    if token.kind == "mark" and token.text in OPENING:
        children = _fields(stream, OPENING[token.text])
        return Node(name.text, name.line, name.column, children=children)
    if token.kind == "mark" and token.text == "-":
        token = stream.take()
    if token.kind not in ("word", "text"):
        raise NotATreeError(token)
    while token.kind == "text" and stream.peek().kind == "text":
        stream.take()
    return Node(name.text, name.line, name.column, value=token)
