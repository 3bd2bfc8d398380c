"""Read a prototxt without protobuf, whose modules take longer to load than most nets to read.

Only what protobuf's text format takes beyond doubt is read here: fields of the schema, each given
as often as it may be, whose values are written in the plain way. At the first doubt
:class:`NotPlainError` says so, and :mod:`uaitrain.frameworks.prototxt` lets protobuf judge. What is
not plain is therefore no mistake: numbers in octal and hexadecimal, escapes in strings, ``<>``,
``[]``, separators between fields, enum values as numbers, text beyond ASCII outside of comments.

Rules: https://protobuf.dev/reference/protobuf/textformat-spec/, and narrower.
"""

from __future__ import annotations

import re
import struct

from uaitrain.frameworks.caffe_schema.fields import ENUMS, MESSAGES
from uaitrain.frameworks.prototxt_tree import Node, Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from uaitrain.frameworks.caffe_schema.fields import Field

_LARGEST_FLOAT = 3.4e38
_TOKEN = re.compile(
    r"""[ \t\r]*(?:\#[^\n]*)?(?:(?P<line>\n)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)(?![\w.])
    |(?P<text>"[ !\x23-\x5b\x5d-\x7e]*"|'[ -&(-\x5b\x5d-\x7e]*')
    |(?P<mark>[:{}])
    |(?P<end>\Z))""",
    re.VERBOSE | re.ASCII,
)
_INTEGERS = {
    "int32": range(-(1 << 31), 1 << 31),
    "int64": range(-(1 << 63), 1 << 63),
    "uint32": range(1 << 32),
    "uint64": range(1 << 64),
}
_BOOLEANS = {"true": True, "false": False}
_FLOAT = struct.Struct("<f")


class NotPlainError(Exception):
    """Protobuf has to say what this text is."""


class PlainMessage:
    """A message that can only be read: attributes as protobuf's messages have them.

    A field that was not given is its default: an empty tuple, an empty message, a scalar.
    """

    __slots__ = ("_fields", "_given")

    def __init__(self, kind: str, given: dict[str, Any]) -> None:
        self._fields = MESSAGES[kind]
        self._given = given

    def __getattr__(self, name: str) -> Any:
        if name in self._given:
            return self._given[name]
        try:
            label, kind, default = self._fields[name]
        except KeyError:
            raise AttributeError(name) from None
        if label == "repeated":
            return ()
        return PlainMessage(kind, {}) if kind in MESSAGES else default

    def HasField(self, name: str) -> bool:  # noqa: N802 - protobuf's name
        """Whether a field that can stand there once was given. Raises ValueError for others."""
        if self._fields.get(name, ("repeated",))[0] == "repeated":
            raise ValueError(f"no optional field {name!r}")
        return name in self._given


def read_plain(text: str, kind: str) -> tuple[PlainMessage, Node]:
    """``text`` as a message of that kind, and where everything stands. Raises NotPlainError."""
    reader = _Reader(text)
    given, nodes = reader.message(kind, "end")
    return PlainMessage(kind, given), Node("", 1, 1, children=nodes)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._line_start = 0

    def _next(self) -> Token:
        while True:
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                raise NotPlainError
            self._at = match.end()
            kind = match.lastgroup
            assert kind is not None
            if kind != "line":
                start = match.start(kind)
                return Token(kind, match[kind], self._line, start - self._line_start + 1)
            self._line += 1
            self._line_start = self._at

    def message(self, kind: str, end: str) -> tuple[dict[str, Any], tuple[Node, ...]]:
        """The fields up to ``end``, a token's kind or text; no deeper than the schema is."""
        fields = MESSAGES[kind]
        given: dict[str, Any] = {}
        nodes = []
        while True:
            token = self._next()
            if token.kind != "name":
                if end not in (token.kind, token.text):
                    raise NotPlainError
                break
            field = fields.get(token.text)
            if field is None:
                raise NotPlainError
            value, node = self._field(token, field)
            nodes.append(node)
            if field[0] == "repeated":
                given.setdefault(token.text, []).append(value)
            elif token.text in given:
                raise NotPlainError
            else:
                given[token.text] = value
        if any(label == "required" and name not in given for name, (label, _, _) in fields.items()):
            raise NotPlainError
        return given, tuple(nodes)

    def _field(self, name: Token, field: Field) -> tuple[Any, Node]:
        _, kind, _ = field
        token = self._next()
        colon = token.text == ":" and token.kind == "mark"
        if colon:
            token = self._next()
        if kind in MESSAGES:
            if token.text != "{" or token.kind != "mark":
                raise NotPlainError
            given, nodes = self.message(kind, "}")
            node = Node(name.text, name.line, name.column, children=nodes)
            return PlainMessage(kind, given), node
        if not colon:
            raise NotPlainError
        value = _scalar(kind, token)
        if token.kind != "text":
            token = Token("word", token.text, token.line, token.column)
        return value, Node(name.text, name.line, name.column, value=token)


def _scalar(kind: str, token: Token) -> Any:
    """The value of a token for a field of that type. Raises NotPlainError."""
    if kind == "string" and token.kind == "text":
        return token.text[1:-1]
    if token.kind == "name":
        values = _BOOLEANS if kind == "bool" else ENUMS.get(kind, {})
        if token.text in values:
            return values[token.text]
    if token.kind == "number":
        if kind == "float":
            return _single(float(token.text))
        if kind in _INTEGERS and token.text.lstrip("-").isdigit():
            number = int(token.text)
            if number in _INTEGERS[kind]:
                return number
    raise NotPlainError


def _single(number: float) -> Any:
    """What is left of it in four bytes, as protobuf keeps it."""
    if abs(number) > _LARGEST_FLOAT:
        raise NotPlainError
    return _FLOAT.unpack(_FLOAT.pack(number))[0]
