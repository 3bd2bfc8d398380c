"""Walk a binary protobuf file field by field without reading its blobs.

Weights and solver states reach gigabytes; what preflight asks of them (names and shapes) is a
few hundred bytes. Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT = 10
LARGEST_READ = 1 << 20


class WireError(Exception):
    """The bytes are not a protobuf message."""


@dataclass(frozen=True)
class Field:
    """``value`` is a varint's number; ``start`` and ``end`` bound the other kinds' bytes."""

    number: int
    kind: int
    value: int
    start: int
    end: int


def file_size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """The fields between two offsets. Raises WireError."""
    at = start
    while at < end:
        key, at = _varint(file, at, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("field number 0")
        value = 0
        if kind == VARINT:
            begin = at
            value, at = _varint(file, at, end)
        elif kind == BYTES:
            size, begin = _varint(file, at, end)
            at = begin + size
        elif kind in (FIXED64, FIXED32):
            begin, at = at, at + (8 if kind == FIXED64 else 4)
        else:
            raise WireError(f"wire type {kind}")
        if at > end:
            raise WireError(f"field {number} goes {at - end} bytes past the end")
        yield Field(number, kind, value, begin, at)


def read(file: BinaryIO, field: Field) -> bytes:
    """A length-delimited field's bytes, at most 1 MiB of them. Raises WireError."""
    if field.kind != BYTES or field.end - field.start > LARGEST_READ:
        raise WireError(f"field {field.number} is not short bytes")
    file.seek(field.start)
    return file.read(field.end - field.start)


def text(file: BinaryIO, field: Field) -> str:
    return read(file, field).decode("utf-8", "replace")


def packed_varints(file: BinaryIO, field: Field) -> list[int]:
    """The numbers of a repeated field, packed or one of its unpacked members."""
    if field.kind == VARINT:
        return [field.value]
    found, at = [], field.start
    while at < field.end:
        value, at = _varint(file, at, field.end)
        found.append(value)
    return found


def _varint(file: BinaryIO, at: int, end: int) -> tuple[int, int]:
    file.seek(at)
    data = file.read(min(LONGEST_VARINT, end - at))
    value = 0
    for index, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise WireError(f"no number at byte {at}")
