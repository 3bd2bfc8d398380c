"""The learnable blobs of a net to and from files: ``.caffemodel`` and ``.caffemodel.h5``."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from caffe import blobproto, snapshot
from caffe.blob import Blob
from caffe.errors import SnapshotError
from caffe.layers.base import text
from caffe.net import Net
from caffe.proto import caffe_pb2

Array = np.ndarray[Any, Any]
FilePath = str | os.PathLike[str]


def save(net: Net, path: FilePath, *, diff: bool = False, hdf5: bool | None = None) -> None:
    """Write all layers of ``net`` with their learnable blobs; HDF5 where the name ends in ``.h5``
    if ``hdf5`` does not say.

    ``diff``: gradients too. Raises SnapshotError.
    """
    if os.fspath(path).endswith(".h5") if hdf5 is None else hdf5:
        snapshot.write_weights_hdf5(path, [_owned(net, index) for index in range(len(net.nodes))],
                                    diff=diff)  # fmt: skip
    else:
        snapshot.write_weights(path, to_proto(net, diff=diff))


def to_proto(net: Net, *, diff: bool = False) -> Any:
    """The net as a NetParameter: its layers, split layers included, with their blobs."""
    message = caffe_pb2.NetParameter(name=net.name)
    for node in net.nodes:
        layer = message.layer.add()
        layer.CopyFrom(node.layer.param)
        layer.ClearField("blobs")
        for blob in node.layer.learnable:
            blobproto.set_numbers(layer.blobs.add(), _data(blob), _diff(blob) if diff else None)
    return message


def load(net: Net, path: FilePath, *, whole: bool = False) -> None:
    """Take the blobs of the layers that have the same name; with ``whole`` every layer has to be
    there. Raises SnapshotError, and then the net is as before."""
    if snapshot.is_hdf5(path):
        _copy_hdf5(net, path, whole)
    else:
        net.copy_trained_layers_from(snapshot.read_weights(path), whole=whole)


def arrays(path: FilePath) -> dict[str, dict[int, Array]]:
    """The blobs in a file of weights by layer and index, float32. Raises SnapshotError."""
    if snapshot.is_hdf5(path):
        return snapshot.read_weights_hdf5(path)
    return {
        layer.name: {
            index: blobproto.numbers(blob).reshape(blobproto.shape_of(blob))
            for index, blob in enumerate(layer.blobs)
        }
        for layer in snapshot.read_weights(path).layer
    }


def _owned(net: Net, index: int) -> snapshot.LayerBlobs:
    blobs = net.nodes[index].layer.learnable
    owns = [owned for _, owned in net.owners[index]]
    return snapshot.LayerBlobs(
        net.nodes[index].layer.name,
        {number: _data(blob) for number, blob in enumerate(blobs) if owns[number]},
        {number: _diff(blob) for number, blob in enumerate(blobs)},
    )


def _copy_hdf5(net: Net, path: FilePath, whole: bool) -> None:
    found = snapshot.read_weights_hdf5(path)
    plan: list[tuple[Blob, Array]] = []
    problems: list[str] = []
    for node, owners in zip(net.nodes, net.owners, strict=True):
        values = found.get(node.layer.name)
        if values is None:
            if whole and node.layer.learnable:
                problems.append(f'layer "{node.layer.name}" is missing')
            continue
        for index, (blob, (_, owned)) in enumerate(zip(node.layer.learnable, owners, strict=True)):
            where = f'layer "{node.layer.name}", blob {index}'
            if index not in values:
                if owned:
                    problems.append(f"{where} is missing")
            elif values[index].shape != blob.shape:
                problems.append(
                    f"{where}: shape {text(values[index].shape)} in the file, {text(blob.shape)} "
                    "in the net"
                )
            else:
                plan.append((blob, values[index]))
    if problems:
        raise SnapshotError(
            f'{path} does not fit the net "{net.name}": {"; ".join(problems)}',
            next_step="to learn such a layer afresh, give it another name",
        )
    for blob, values_ in plan:
        blob.data_memory.put(torch.from_numpy(values_).to(net.device))


def _data(blob: Blob) -> Array:
    return np.asarray(blob.data.detach().cpu().numpy())


def _diff(blob: Blob) -> Array:
    return np.asarray(blob.diff.detach().cpu().numpy())


__all__ = ["arrays", "load", "save", "to_proto"]
