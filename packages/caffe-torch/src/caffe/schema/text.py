"""Prototxt to message: protobuf's text format judges, the refusal says where and why."""

from __future__ import annotations

import difflib
import re
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from caffe.errors import DefinitionError
from caffe.schema.tree import Node, Place, token_at, tree, unclosed

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
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        place = (error.GetLine() or 1, error.GetColumn() or 1)
        raise _refusal(text, source, message.DESCRIPTOR, place, _detail(error)) from None
    root = tree(text)
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
            field = ".".join(inner.name for inner in nodes[index + 1 :])
            return f'layer "{name}"{": " if field else ""}{field}: '
    field = ".".join(node.name for node in nodes)
    return f"{field}: " if field else ""


def _refusal(text: str, source: str, descriptor: Any, place: Place, detail: str) -> DefinitionError:
    opened = unclosed(text, place)
    token = token_at(text, place)
    around = tree(text).around(place)
    owner, field = _schema_of(descriptor, around)
    last = around[-1] if around else None
    if last is not None and field is None and owner is not None and last.place == place:
        return _unknown_field(text, source, owner, around)
    if opened is not None:
        return DefinitionError(
            f'{at(source, opened.place)}: {subject(around)}the "{opened.text}" is never closed: '
            f"{detail} (line {place[0]}){_excerpt(text, opened.line)}",
            next_step=f'close it with "{ {"{": "}", "<": ">"}.get(opened.text, "]") }"',
        )
    if token is None or token.kind == "end":
        detail = f"the text ends too early: {detail}"
    elif token.text not in detail:
        detail = f'{detail} at "{token.text}"'
    allowed = step = ""
    if field is not None and last is not None and last.value is not None:
        allowed = _allowed(field)
        if field.enum_type is not None:
            step = did_you_mean(last.value.text, field.enum_type.values_by_name)
    return DefinitionError(
        f"{at(source, place)}: {subject(around)}{detail}{_excerpt(text, place[0])}",
        allowed=allowed,
        next_step=step,
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


def _unknown_field(text: str, source: str, owner: Any, around: tuple[Node, ...]) -> DefinitionError:
    node = around[-1]
    names = [field.name for field in owner.fields]
    shown = names if len(names) <= _MANY else nearest(node.name, names, 5)
    return DefinitionError(
        f"{at(source, node.place)}: {subject(around[:-1])}"
        f'{owner.name} has no field "{node.name}"{_excerpt(text, node.place[0])}',
        allowed=", ".join(shown),
        next_step=did_you_mean(node.name, names),
    )


def _allowed(field: Any) -> str:
    if field.enum_type is not None:
        return ", ".join(value.name for value in field.enum_type.values)
    return _NUMBERS.get(field.cpp_type, "")


def _missing(source: str, root: Node, path: str) -> DefinitionError:
    above, _, name = path.rpartition(".")
    node = root.at(above)
    if node is None or not above:
        return DefinitionError(f"{source}: {path} is required and missing")
    around = (*root.around(node.place), node)
    return DefinitionError(
        f"{at(source, node.place)}: {subject(around[:-1])}{name} is required and missing",
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
