"""Arrays to and from BlobProto and Datum messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from caffe.errors import UsageError
from caffe.proto import caffe_pb2

Array = np.ndarray[Any, Any]
_pb2: Any = caffe_pb2
_DATUM_AXES = 3


class WrongShapeError(UsageError, ValueError):
    """An array has not the number of axes that it needs."""


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """The data of a BlobProto, or its gradient, in its own or its legacy shape."""
    values = np.array(blob.diff if return_diff else blob.data, np.float64)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return values.reshape(blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: Array, diff: Array | None = None) -> Any:
    """The BlobProto of an array, and of a gradient of the same shape."""
    blob = _pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.asarray(arr).astype(float).flat)
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """A serialised BlobProtoVector."""
    vector = _pb2.BlobProtoVector()
    vector.blobs.extend(array_to_blobproto(array) for array in arraylist)
    serialised: bytes = vector.SerializeToString()
    return serialised


def blobprotovector_str_to_arraylist(text: bytes) -> list[Array]:
    """The arrays of a serialised BlobProtoVector."""
    vector = _pb2.BlobProtoVector.FromString(text)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> Any:
    """The Datum of a C×H×W array: bytes for uint8, floats else. Raises ValueError."""
    if arr.ndim != _DATUM_AXES:
        raise WrongShapeError(f"the array has shape {arr.shape}", allowed="C×H×W")
    datum = _pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> Array:
    """C×H×W, of bytes (uint8) or of floats. The label is in ``datum.label``."""
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    return np.array(datum.float_data, np.float64).reshape(shape)
