"""The files of a snapshot: ``.caffemodel`` and ``.solverstate``, and their HDF5 forms.

The binary ones are Caffe's NetParameter and SolverState messages, byte for byte. Each file is
written aside and renamed. Whatever is wrong with a file is a :class:`SnapshotError` that names it.

A binary file says nowhere how long it is: one that was cut exactly between two net layers, or
between two history blobs, looks whole here. The net and the solver notice, as they know what must
be there.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, EncodeError

from caffe import blobproto, schema, snapshot_hdf5
from caffe.errors import CaffeError, SnapshotError
from caffe.files import appearing
from caffe.proto import caffe_pb2
from caffe.snapshot_hdf5 import (
    LayerBlobs,
    SolverState,
    is_hdf5,
    read_weights_hdf5,
    write_weights_hdf5,
)

FilePath = str | os.PathLike[str]


def check_writable(path: FilePath) -> None:
    """Make and remove ``path``, so that a folder that nobody can write to is known before a
    training. Raises SnapshotError."""
    place = Path(path)
    try:
        place.touch()
        place.unlink()
    except OSError as error:
        raise SnapshotError(
            f"cannot write snapshots beside {place}: {error.strerror or error}",
            next_step="make the folder of snapshot_prefix, or choose one that is writable",
        ) from None


def write_weights(path: FilePath, net: Any) -> None:
    """A NetParameter with blobs as a ``.caffemodel``. Raises SnapshotError."""
    _write(path, net)


def read_weights(path: FilePath) -> Any:
    """The NetParameter of a ``.caffemodel``; what V0 and V1 wrote comes in the 1.0 form.

    Raises SnapshotError for what is no such file, is cut, holds no net layers, or has a blob with
    more or fewer values than its shape asks for.
    """
    net = _read(path, caffe_pb2.NetParameter(), "a .caffemodel")
    if not (net.layer or net.layers):
        raise _foreign(path, "a .caffemodel", "it holds no net layers")
    if net.layers:
        try:
            net = schema.upgrade_net(net, os.fspath(path))
        except CaffeError as error:
            raise SnapshotError(f"{path}: {error}") from error
    for layer in net.layer:
        for index, blob in enumerate(layer.blobs):
            _judge(path, f'layer "{layer.name}", blob {index}', blob)
    return net


def write_state(path: FilePath, state: SolverState) -> None:
    """A solver state, as HDF5 where the name ends in ``.h5``. Raises SnapshotError."""
    if os.fspath(path).endswith(".h5"):
        snapshot_hdf5.write_state(path, state)
        return
    message = caffe_pb2.SolverState(
        iter=state.iteration, learned_net=state.learned_net, current_step=state.current_step
    )
    for values in state.history:
        blobproto.set_numbers(message.history.add(), values)
    _write(path, message)


def read_state(path: FilePath) -> SolverState:
    """What either form of solver state holds. Raises SnapshotError, as :func:`read_weights`."""
    if is_hdf5(path):
        return snapshot_hdf5.read_state(path)
    message = _read(path, caffe_pb2.SolverState(), "a .solverstate")
    if not message.HasField("iter"):
        raise _foreign(path, "a .solverstate", "it names no iteration")
    for index, blob in enumerate(message.history):
        _judge(path, f"history {index}", blob)
    history = [
        blobproto.numbers(blob).reshape(blobproto.shape_of(blob)) for blob in message.history
    ]
    return SolverState(message.iter, message.learned_net, history, message.current_step)


def _write(path: FilePath, message: Any) -> None:
    try:
        data = message.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise SnapshotError(
            f"cannot write {path}: {error}",
            allowed="less than 2 GB in a binary file",
            next_step="write snapshot_format: HDF5 into the solver",
        ) from None
    try:
        with appearing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise snapshot_hdf5.not_written(path, error) from None


def _read(path: FilePath, message: Any, kind: str) -> Any:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise snapshot_hdf5.not_read(path, error) from None
    if not data:
        raise _foreign(path, kind, "it is empty")
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise _foreign(path, kind, "it is cut short or something else") from None
    return message


def _judge(path: FilePath, where: str, blob: Any) -> None:
    values = max(len(blob.data), len(blob.double_data))
    shape = blobproto.shape_of(blob)
    if min(shape, default=0) < 0 or values != math.prod(shape):
        raise SnapshotError(
            f"{path}: {where} has {values} values and the shape {shape}",
            next_step="take another snapshot; this one is damaged",
        )


def _foreign(path: FilePath, kind: str, why: str) -> SnapshotError:
    return SnapshotError(
        f"{path} is not {kind}: {why}", next_step="take another snapshot, or mend the path"
    )


__all__ = [
    "LayerBlobs",
    "SolverState",
    "check_writable",
    "is_hdf5",
    "read_state",
    "read_weights",
    "read_weights_hdf5",
    "write_state",
    "write_weights",
    "write_weights_hdf5",
]
