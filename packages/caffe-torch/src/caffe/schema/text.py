"""Prototxt to message: protobuf's text format judges, the refusal says where and why."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from caffe.errors import DefinitionError
from caffe.schema.dialect import disagreements, without_loose_signs
from caffe.schema.tree import CLOSING, Node, Place, Token, tokens, tree, unclosed

_MANY = 24
"""Longer lists of allowed names are cut to the nearest ones."""

_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: f"a whole number from {-(2**31)} to {2**31 - 1}",
    FieldDescriptor.CPPTYPE_INT64: f"a whole number from {-(2**63)} to {2**63 - 1}",
    FieldDescriptor.CPPTYPE_UINT32: f"a whole number from 0 to {2**32 - 1}",
    FieldDescriptor.CPPTYPE_UINT64: f"a whole number from 0 to {2**64 - 1}",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true, false",
    FieldDescriptor.CPPTYPE_STRING: 'a text in quotes, "…"',
}


def parse_message(text: str, message: Any, source: str) -> Node:
    """Fill ``message`` from ``text``; the tree of the text. Raises DefinitionError."""
    found = list(tokens(text))
    root = tree(found)
    for token, why in disagreements(found):
        raise DefinitionError(
            f"{at(source, token.place)}: {subject(root.around(token.place))}{why}"
            f"{_excerpt(text, token.line)}"
        )
    try:
        text_format.Parse(without_loose_signs(text, found), message)
    except text_format.ParseError as error:
        place = (error.GetLine() or 1, error.GetColumn() or 1)
        mistake = _Mistake(text, source, root, found, place, _detail(error))
        raise mistake.refusal(message.DESCRIPTOR) from None
    for missing in message.FindInitializationErrors():
        raise _missing(source, root, missing)
    return root


def nearest(name: str, names: Any, count: int = 1) -> list[str]:
    """The names that were probably meant."""
    by_lower = {known.lower(): known for known in names}
    found = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.6)
    return [by_lower[lower] for lower in found]


def did_you_mean(name: str, names: Any) -> str:
    """The next step after a wrong name; empty when nothing is near."""
    found = nearest(name, names)
    return f'did you mean "{found[0]}"?' if found else ""


def at(source: str, place: Place) -> str:
    """``lenet.prototxt:12:3``."""
    return f"{source}:{place[0]}:{place[1]}"


def subject(nodes: tuple[Node, ...]) -> str:
    """The net layer and field that these nested nodes are, as the begin of a sentence."""
    for index, node in enumerate(nodes):
        if node.name in ("layer", "layers"):
            name = node.say("name") or next((n.say("name") for n in node.named("layer")), "")
            layer = f'layer "{name}"' if name else f"a {node.name} without a name"
            return ": ".join((layer, *_dotted(nodes[index + 1 :]), ""))
    return ": ".join((*_dotted(nodes), "")) if nodes else ""


def _dotted(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    return (".".join(node.name for node in nodes),) if nodes else ()


@dataclass(frozen=True)
class _Mistake:
    """Where protobuf stopped, and what it said."""

    text: str
    source: str
    root: Node
    tokens: list[Token]
    place: Place
    detail: str

    def refusal(self, descriptor: Any) -> DefinitionError:
        around = self.root.around(self.place)
        owner, field = _schema_of(descriptor, around)
        last = around[-1] if around else None
        if last is not None and field is None and owner is not None and last.place == self.place:
            return self._unknown_field(owner, around)
        opened = unclosed(self.tokens, self.place)
        if opened is not None:
            return self._unclosed(opened)
        allowed = step = ""
        if field is not None and last is not None and last.value is not None:
            allowed = _allowed(field)
            if field.enum_type is not None:
                step = did_you_mean(last.value.text, field.enum_type.values_by_name)
        return DefinitionError(
            f"{at(self.source, self.place)}: {subject(around)}{self._said()}"
            f"{_excerpt(self.text, self.place[0])}",
            allowed=allowed,
            next_step=step,
        )

    def _said(self) -> str:
        token = next((token for token in self.tokens if token.place == self.place), None)
        if token is None or (token.text and token.text in self.detail):
            return self.detail
        if token.kind == "end":
            return f"the text ends too early: {self.detail}"
        return f"{self.detail} at {token.text}"

    def _unclosed(self, opened: Token) -> DefinitionError:
        return DefinitionError(
            f"{at(self.source, opened.place)}: {subject(self.root.around(opened.place))}"
            f'the "{opened.text}" is never closed: {self.detail} (line {self.place[0]})'
            f"{_excerpt(self.text, opened.line)}",
            next_step=f"close it with {CLOSING.get(opened.text, ']')}",
        )

    def _unknown_field(self, owner: Any, around: tuple[Node, ...]) -> DefinitionError:
        node = around[-1]
        names = [field.name for field in owner.fields]
        shown = names if len(names) <= _MANY else nearest(node.name, names, 5)
        return DefinitionError(
            f"{at(self.source, node.place)}: {subject(around[:-1])}"
            f'{owner.name} has no field "{node.name}"{_excerpt(self.text, node.place[0])}',
            allowed=", ".join(shown),
            next_step=did_you_mean(node.name, names),
        )


def _schema_of(descriptor: Any, nodes: tuple[Node, ...]) -> tuple[Any, Any]:
    """The message that the last node is in (None when unknown), and its field (None)."""
    field = None
    for index, node in enumerate(nodes):
        field = descriptor.fields_by_name.get(node.name)
        if index + 1 == len(nodes):
            break
        if field is None or field.message_type is None:
            return None, None
        descriptor = field.message_type
    return descriptor, field


def _allowed(field: Any) -> str:
    if field.enum_type is not None:
        return ", ".join(value.name for value in field.enum_type.values)
    return _NUMBERS.get(field.cpp_type, "")


def _missing(source: str, root: Node, path: str) -> DefinitionError:
    above, _, name = path.rpartition(".")
    node = root.at(above)
    if node is None or not above:
        return DefinitionError(f"{source}: {path} is required and missing")
    return DefinitionError(
        f"{at(source, node.place)}: {subject(root.around(node.place))}"
        f"{name} is required and missing",
        next_step=f"write {name} into this {node.name}",
    )


def _detail(error: text_format.ParseError) -> str:
    detail = re.sub(r"^\d+:\d+ : (?:'.*': )?", "", str(error), flags=re.DOTALL)
    return detail.rstrip(".")


def _excerpt(text: str, line: int) -> str:
    lines = text.split("\n")
    said = lines[line - 1].strip() if 1 <= line <= len(lines) else ""
    if len(said) > 100:
        said = said[:99] + "…"
    return f" in the line `{said}`" if said else ""
