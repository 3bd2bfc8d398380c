"""Plain values as YAML 1.2 text, for reading and for ``kubectl create -f``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Words that no YAML reader, 1.1 or 1.2, takes for anything but a text.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_NOT_TEXT = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|_+)")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WIDTH = 100


def documents(values: Sequence[Mapping[str, Any]]) -> str:
    """Each of ``values`` as a document of one stream."""
    return "---\n".join("".join(f"{line}\n" for line in _lines(each, "")) for each in values)


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entry(f"{indent}{_scalar(key)}:", item, indent)
    elif isinstance(value, (list, tuple)) and value:
        for item in value:
            # The first line of an item stands behind its dash.
            inner = list(_lines(item, f"{indent}  "))
            yield f"{indent}- {inner[0].lstrip(' ')}"
            yield from inner[1:]
    else:
        yield f"{indent}{_scalar(value)}"


def _entry(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, (list, tuple)) and item and all(type(each) is int for each in item):
        yield from _wrapped(head, item, indent)
    elif isinstance(item, (Mapping, list, tuple)) and item:
        yield head
        yield from _lines(item, indent + ("  " if isinstance(item, Mapping) else ""))
    else:
        yield f"{head} {_scalar(item)}"


def _wrapped(head: str, numbers: Sequence[int], indent: str) -> Iterator[str]:
    """A list of numbers in lines as long as the page is wide."""
    line = f"{head} ["
    for position, number in enumerate(numbers):
        word = f"{number}]" if position == len(numbers) - 1 else f"{number},"
        if len(line) + 1 + len(word) > _WIDTH:
            yield line
            line = f"{indent}  {word}"
        else:
            line += word if line.endswith("[") else f" {word}"
    yield line


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    # JSON is YAML, but for a few characters that YAML wants escaped.
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
