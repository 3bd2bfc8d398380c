"""Arrays to and from BlobProto messages, in Caffe's shapes, at the speed of memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe.blob import Shape

Array = np.ndarray[Any, Any]

_LENGTH_DELIMITED = 2


def shape_of(proto: Any) -> Shape:
    """The shape of a BlobProto: its own, or the legacy four sizes."""
    if has_legacy_shape(proto):
        return (proto.num, proto.channels, proto.height, proto.width)
    return tuple(proto.shape.dim)


def has_legacy_shape(proto: Any) -> bool:
    """Whether it was written before blobs had any number of axes."""
    return any(proto.HasField(name) for name in ("num", "channels", "height", "width"))


def fits(proto: Any, shape: Shape) -> bool:
    """Whether a BlobProto is of ``shape``. Four legacy sizes may have ones in front."""
    if has_legacy_shape(proto):
        padded = (1,) * (4 - len(shape)) + tuple(shape)
        return shape_of(proto) == padded
    return shape_of(proto) == tuple(shape)


def numbers(proto: Any, name: str = "data") -> Array:
    """The field ``data`` or ``diff`` as a flat float32 array of its own; what is there as doubles
    is rounded. Empty when the field is."""
    doubles = getattr(proto, f"double_{name}")
    return np.array(doubles if len(doubles) else getattr(proto, name), np.float32)


def set_numbers(proto: Any, data: Array, diff: Array | None = None) -> None:
    """Make ``proto`` what Caffe writes for an array: its shape and its float32 values.

    protobuf takes numbers one by one, which needs seconds for a large layer; it takes their
    serialised form, one packed run of bytes, at once.
    """
    proto.Clear()
    proto.shape.dim.extend(data.shape)
    for name, values in (("data", data), ("diff", diff)):
        if values is not None and values.size:
            payload = np.ascontiguousarray(values, "<f4").tobytes()
            number: int = proto.DESCRIPTOR.fields_by_name[name].number
            head = bytes([number << 3 | _LENGTH_DELIMITED]) + _varint(len(payload))
            proto.MergeFromString(head + payload)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
