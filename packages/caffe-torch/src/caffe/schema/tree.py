"""Where every field of a prototxt stands.

protobuf's text format tells a position only when it fails. This reader keeps all of them. It
judges nothing and never fails: :mod:`caffe.schema.text` lets protobuf judge the text. It does not
recurse, so that no depth of brackets is too much for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<blank>[\s;,]+|\#[^\n]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>-?[\w.+]+(?:(?<=[eE])-\d+[fF]?)?)
    |(?P<mark>.)""",
    re.VERBOSE,
)
CLOSING = {"{": "}", "<": ">"}

Place = tuple[int, int]
"""Line and column, both from 1."""


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is ``text`` (quoted), ``word``, ``mark`` or ``end``."""

    kind: str
    text: str
    line: int
    column: int

    @property
    def place(self) -> Place:
        return self.line, self.column


@dataclass(frozen=True, slots=True)
class Node:
    """One ``name: value`` or ``name { … }``, from ``place`` to ``end``; ``value`` is a scalar's
    token."""

    name: str
    place: Place
    end: Place
    value: Token | None = None
    children: tuple[Node, ...] = ()

    def named(self, name: str) -> tuple[Node, ...]:
        """The children of that name, in the order of the message's repeated field."""
        return tuple(child for child in self.children if child.name == name)

    def at(self, path: str) -> Node | None:
        """The child at a path as protobuf writes it, ``layer[2].clip_param.min``."""
        node = self
        for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", path):
            found = node.named(name)
            if int(index or 0) >= len(found):
                return None
            node = found[int(index or 0)]
        return node

    def around(self, place: Place) -> tuple[Node, ...]:
        """The nodes that contain ``place``, outermost first, without this one."""
        found: list[Node] = []
        node: Node | None = self
        while node is not None:
            node = next((c for c in node.children if c.place <= place <= c.end), None)
            if node is not None:
                found.append(node)
        return tuple(found)

    def say(self, name: str) -> str:
        """The quoted string that a child holds, without quotes; empty when there is none."""
        for child in self.named(name):
            if child.value is not None:
                return child.value.text.strip("\"'")
        return ""


def tokens(text: str) -> Iterator[Token]:
    line, start = 1, 0
    for match in TOKEN.finditer(text):
        kind = match.lastgroup or "mark"
        word = match.group()
        if kind != "blank":
            yield Token(kind, word, line, match.start() - start + 1)
        newlines = word.count("\n")
        if newlines:
            line += newlines
            start = match.start() + word.rindex("\n") + 1
    yield Token("end", "", line, len(text) - start + 1)


@dataclass(slots=True)
class _Open:
    """A bracket that waits for its end; ``listed`` when it is an element of ``name: [ … ]``."""

    name: Token
    closing: str
    listed: bool
    children: list[Node]

    def closed(self, end: Place) -> Node:
        return Node(self.name.text, self.name.place, end, children=tuple(self.children))


def tree(found: Iterable[Token]) -> Node:
    """The text of these tokens as the children of a nameless node, as far as it can be told."""
    opened = [_Open(Token("word", "", 1, 1), "", False, [])]
    name: Token | None = None
    listed = False
    end: Place = (1, 1)
    for token in found:
        end = token.place
        if token.kind == "mark":
            if name is not None and token.text in CLOSING:
                opened.append(_Open(name, CLOSING[token.text], listed, []))
                name, listed = None, False
            elif name is not None and token.text == "[":
                listed = True
            elif token.text == "]":
                name, listed = None, False
            elif token.text == opened[-1].closing:
                done = opened.pop()
                opened[-1].children.append(done.closed(token.place))
                name, listed = (done.name, True) if done.listed else (None, False)
        elif name is None:
            name = token if token.kind == "word" else None
        elif token.kind in ("word", "text"):
            opened[-1].children.append(
                Node(name.text, name.place, (token.line, token.column + len(token.text)), token)
            )
            name = name if listed else None
    while len(opened) > 1:
        done = opened.pop()
        opened[-1].children.append(done.closed(end))
    return opened[0].closed(end)


def unclosed(found: Iterable[Token], place: Place) -> Token | None:
    """The innermost bracket that is open at that place, if any of the text's is never closed."""
    opened: list[Token] = []
    there: Token | None = None
    for token in found:
        # A text that ends too early is reported at its last token, which may close something.
        closes = token.kind == "mark" and token.text in "}>]"
        if there is None and (token.place > place or (token.place == place and not closes)):
            there = opened[-1] if opened else None
        if token.kind == "mark" and token.text in "{<[":
            opened.append(token)
        elif closes and opened:
            opened.pop()
    return (there or opened[-1]) if opened else None
