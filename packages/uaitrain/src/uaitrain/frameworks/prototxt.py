"""Read solver and net prototxts: protobuf's text format judges, the message says where and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from uaitrain.frameworks.prototxt_plain import NotPlainError, read_plain
from uaitrain.frameworks.prototxt_tree import (
    Node,
    NotATreeError,
    Token,
    token_at,
    tree,
    unclosed,
)
from uaitrain.nearest import nearest
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOLVER = "SolverParameter"
NET = "NetParameter"

SYNTAX = "syntax"
UNKNOWN_FIELD = "field"
UNKNOWN_VALUE = "value"
REQUIRED = "required"

LARGEST_BYTES = 16 << 20
"""No prototxt is larger; Caffe's own reader stops at 1 GiB, people's patience earlier."""


@dataclass(frozen=True)
class Problem:
    """One mistake: ``kind`` is a constant of this module, line and column count from 1.

    ``excerpt`` is the line with a caret under the token; ``nearest`` the name that was probably
    meant, or empty.
    """

    kind: str
    what: str
    line: int
    column: int
    excerpt: str = ""
    nearest: str = ""


@dataclass(frozen=True)
class Document:
    """A prototxt: its message, where everything stands, and what is wrong with it.

    ``message`` is half filled when there are problems. What :func:`read` gives can only be read.
    """

    path: Path
    message: Any
    root: Node
    problems: tuple[Problem, ...] = ()

    def where(self, node: Node | Problem) -> str:
        return f"{self.path}:{node.line}:{node.column}"


def read(path: Path, kind: str) -> Document:
    """``path`` as :data:`SOLVER` or :data:`NET`. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        too_long = Problem(SYNTAX, f"longer than {LARGEST_BYTES >> 20} MiB: not a prototxt", 1, 1)
        return parse("", kind, path, (too_long,))
    if b"\0" in data:
        binary = Problem(SYNTAX, "holds binary data: not a prototxt", 1, 1)
        return parse("", kind, path, (binary,))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Caffe takes any bytes in comments and strings; old files have GBK ones.
        text = data.decode("latin-1")
    try:
        message, root = read_plain(text, kind)
    except NotPlainError:
        return parse(text, kind, path)
    return Document(path, message, root)


def parse(
    text: str, kind: str, path: Path = Path("-"), problems: tuple[Problem, ...] = ()
) -> Document:
    """``text`` as a message of the schema; ``problems`` are what the caller found before."""
    from google.protobuf import text_format

    from uaitrain.frameworks.caffe_schema import caffe_pb2

    message = getattr(caffe_pb2, kind)()
    try:
        root = tree(text)
    except NotATreeError:
        root = Node("", 1, 1)
    try:
        text_format.Parse(text, message)
        problems += tuple(_missing(message, root))
    except text_format.ParseError as error:
        named = tuple(_unknown_names(text, root, message.DESCRIPTOR))
        known_position = any(
            (problem.line, problem.column) == (error.GetLine(), error.GetColumn())
            for problem in named
        )
        problems += named if known_position else (_syntax(text, error),)
    return Document(path, message, root, problems)


def text_of(message: Any) -> str:
    """The prototxt of a message."""
    from google.protobuf import text_format

    return text_format.MessageToString(message)


def _excerpt(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return ""
    source = lines[line - 1].rstrip("\r")
    start = max(0, column - 60)
    pad = re.sub(r"[^\t]", " ", source[start : column - 1])
    return f"{source[start : start + 100]}\n{pad}^"


def _unknown_names(text: str, node: Node, descriptor: Any) -> Iterator[Problem]:
    for child in node.children:
        field = descriptor.fields_by_name.get(child.name)
        if field is None:
            known = [known.name for known in descriptor.fields]
            yield Problem(
                UNKNOWN_FIELD,
                f'{descriptor.name} has no field "{child.name}"',
                child.line,
                child.column,
                _excerpt(text, child.line, child.column),
                nearest(child.name, known),
            )
        elif field.message_type is not None:
            yield from _unknown_names(text, child, field.message_type)
        elif field.enum_type is not None and child.value is not None:
            yield from _unknown_value(text, child.name, child.value, field.enum_type)


def _unknown_value(text: str, name: str, token: Token, enum: Any) -> Iterator[Problem]:
    values = [value.name for value in enum.values]
    numbers = [str(value.number) for value in enum.values]
    if token.text not in values and token.text not in numbers:
        yield Problem(
            UNKNOWN_VALUE,
            f'{name} cannot be "{token.text}", only {", ".join(values)}',
            token.line,
            token.column,
            _excerpt(text, token.line, token.column),
            nearest(token.text, values),
        )


def _syntax(text: str, error: Any) -> Problem:
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    detail = re.sub(r"^\d+:\d+ : (?:'.*': )?", "", str(error), flags=re.DOTALL).rstrip(".")
    token = token_at(text, line, column)
    opened = unclosed(text, line, column)
    if opened:
        line, column = opened.line, opened.column
        what = f'the "{opened.text}" is never closed: {detail} (line {error.GetLine()})'
    elif token is None or token.kind == "end":
        what = f"the text ends too early: {detail}"
    elif token.text in detail:
        what = detail
    else:
        what = f"{detail} at {token.text!r}"
    return Problem(SYNTAX, what, line, column, _excerpt(text, line, column))


def _missing(message: Any, root: Node) -> Iterator[Problem]:
    for path in message.FindInitializationErrors():
        node = root
        for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", path):
            node = node.at(name, int(index or 0))
        yield Problem(REQUIRED, f"{path} is required and missing", node.line, node.column)
