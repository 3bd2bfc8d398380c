"""Is a file the BlobProto that a mean file has to be?"""

from __future__ import annotations

from pathlib import Path

from uaitrain.frameworks import wire

LEGACY_SHAPE = (1, 2, 3, 4)
DATA, SHAPE, DOUBLE_DATA = 5, 7, 8
FLOAT_BYTES = 4


def mean_fault(path: Path) -> str:
    """What is wrong with it, or nothing."""
    try:
        if not path.is_file():
            return "not a file"
        return _fault(path)
    except wire.WireError as failure:
        return f"not a BlobProto ({failure})"
    except OSError as failure:
        return f"cannot be read: {failure.strerror}"


def _fault(path: Path) -> str:
    floats, dims = 0, 1
    with path.open("rb") as file:
        size = wire.file_size(file)
        for field in wire.fields(file, 0, size):
            if field.number in LEGACY_SHAPE and field.kind == wire.VARINT:
                dims *= field.value
            elif field.number == DATA and field.kind in (wire.BYTES, wire.FIXED32):
                floats += (field.end - field.start) // FLOAT_BYTES
            elif field.number == SHAPE and field.kind == wire.BYTES:
                for shape in wire.fields(file, field.start, field.end):
                    for dim in wire.packed_varints(file, shape):
                        dims *= dim
            elif field.number not in (6, DOUBLE_DATA, 9):
                return f"not a BlobProto (field {field.number})"
    if floats == 0:
        return "a BlobProto without data"
    return "" if floats == dims else f"{floats} values for a shape of {dims}"
