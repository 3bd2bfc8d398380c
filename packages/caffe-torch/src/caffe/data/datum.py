"""Records of a database, serialised Datum messages, become images and labels.

The common record holds raw uint8 values. protobuf writes its fields in the order of their
numbers, so in a batch all such records begin with the same bytes (sizes, and the length of the
data) and end with the label. Those records are cut at fixed places, without parsing. Any other
record is parsed by protobuf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from caffe.data import images
from caffe.data.databases import Buffer, Record
from caffe.data.faults import Fail, record_name
from caffe.proto import caffe_pb2

Image = np.ndarray[Any, Any]
Images = Sequence[Image] | Image
"""Several images, or images of one shape as one array."""
_DATA_TAG = b"\x22"
# Below it, one copy of all records costs less than handling each of them.
_SMALL_BYTES = 1 << 14


@dataclass(frozen=True)
class Layout:
    """How a raw record is built: ``head``, ``size`` bytes of data, a tail with the label."""

    shape: tuple[int, int, int]
    head: bytes
    size: int


class Datums:
    """Reads records of ``source``. ``color`` and ``gray`` force encoded pictures to be read so."""

    def __init__(self, source: str, color: bool, gray: bool, fail: Fail) -> None:
        self._source = source
        self._fail = fail
        self._both = color and gray
        self._flag = images.COLOR if color else images.GRAY if gray else images.AS_IT_IS
        self._layout: Layout | None = None
        self._labels: dict[bytes, int | None] = {}

    def read(self, records: Sequence[Record]) -> tuple[Images, list[int]]:
        """Images (channels × height × width each, uint8 or float32) and labels; a record without
        a label has the label 0, as in Caffe. Raises DataError."""
        if self._layout is not None:
            found = self._cut([value for _, value in records], self._layout)
            if found is not None:
                return found
        parsed = [self._parse(record) for record in records]
        self._layout = _layout(parsed[0], records[0][1])
        pairs = zip(records, parsed, strict=True)
        found_images = images.side_by_side(lambda pair: self._image(*pair), pairs)
        return found_images, [datum.label for datum in parsed]

    def _cut(self, values: list[Buffer], layout: Layout) -> tuple[Images, list[int]] | None:
        """Images and labels by ``layout``; None when a record is not built so."""
        head, start = layout.head, len(layout.head)
        end = start + layout.size
        known = self._labels
        labels: list[int] = []
        for value in values:
            if value[:start] != head or len(value) < end:
                return None
            tail = bytes(value[end:])
            label = known[tail] if tail in known else self._learn(tail)
            if label is None:
                return None
            labels.append(label)
        if layout.size < _SMALL_BYTES:
            data = b"".join([value[start:end] for value in values])
            return np.frombuffer(data, np.uint8).reshape(len(values), *layout.shape), labels
        return [
            np.frombuffer(value, np.uint8, layout.size, start).reshape(layout.shape)
            for value in values
        ], labels

    def _learn(self, tail: bytes) -> int | None:
        """The label in the bytes behind the data; None when they say more than it."""
        try:
            datum = caffe_pb2.Datum.FromString(tail)
        except DecodeError:
            return None
        plain = not datum.encoded and {field.name for field, _ in datum.ListFields()} <= {
            "label",
            "encoded",
        }
        label: int | None = datum.label if plain else None
        if len(self._labels) < 1 << 16:
            self._labels[tail] = label
        return label

    def _parse(self, record: Record) -> Any:
        try:
            return caffe_pb2.Datum.FromString(bytes(record[1]))
        except DecodeError:
            raise self._fail(
                f"{record_name(self._source, record[0])} is not a Datum",
                next_step="make the database with convert_imageset or with caffe.proto's Datum",
            ) from None

    def _image(self, record: Record, datum: Any) -> Image:
        name = record_name(self._source, record[0])
        if datum.encoded:
            if self._both:
                raise self._fail(
                    f"{name} is encoded", allowed="force_color or force_gray, not both"
                )
            return images.decode(datum.data, self._flag, name, self._fail)
        shape = (datum.channels, datum.height, datum.width)
        if min(shape) < 1:
            raise self._fail(
                f"{name} is a Datum of {datum.channels} channels, height {datum.height}, width "
                f"{datum.width}",
                allowed="sizes above 0, or encoded: true",
            )
        values = (
            np.frombuffer(datum.data, np.uint8)
            if datum.data
            else np.array(datum.float_data, np.float32)
        )
        count = shape[0] * shape[1] * shape[2]
        if values.size < count:
            raise self._fail(
                f"{name} has {values.size} values, its {shape[0]} channels of "
                f"{shape[1]}×{shape[2]} need {count}",
                next_step="set encoded: true where the data is a JPEG or PNG",
            )
        # Caffe, too, takes the first values where there are more.
        return values[:count].reshape(shape)


def _layout(datum: Any, value: Buffer) -> Layout | None:
    """How ``value``, which parsed to ``datum``, is built, if it is a raw record in the usual
    order."""
    size = len(datum.data)
    if datum.encoded or not size or size != datum.channels * datum.height * datum.width:
        return None
    sizes = caffe_pb2.Datum(channels=datum.channels, height=datum.height, width=datum.width)
    head = sizes.SerializeToString() + _DATA_TAG + _varint(size)
    if value[: len(head)] != head:
        return None
    return Layout((datum.channels, datum.height, datum.width), head, size)


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
