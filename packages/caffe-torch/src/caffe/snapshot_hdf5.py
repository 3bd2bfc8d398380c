"""The HDF5 forms of a snapshot, in Caffe's layout.

    .caffemodel.h5     data/<net layer>/<index>: float32; diff/… the same, with snapshot_diff
    .solverstate.h5    iter, current_step: one int32 each; learned_net: a string;
                       history/<index>: float32

Every net layer has a group, an empty one where it has no learnable blobs. In ``data``, a shared
blob is written by its owner alone; ``diff`` has all. A name with slashes makes groups in groups:
Caffe 1.0 aborts there, and would not find them when reading; we do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caffe.errors import SnapshotError
from caffe.files import appearing

Array = np.ndarray[Any, Any]
FilePath = str | os.PathLike[str]

_MOST_AXES = 32
"""Caffe's kMaxBlobAxes."""


@dataclass(frozen=True, eq=False)
class LayerBlobs:
    """The learnable blobs of one net layer by index: ``data`` of those that it owns, ``diff`` of
    all where gradients are to be kept."""

    name: str
    data: Mapping[int, Array]
    diff: Mapping[int, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SolverState:
    """Where a training stands. ``learned_net`` is the path of the weights as the solver wrote
    it; ``current_step`` is the rate's."""

    iteration: int
    learned_net: str
    history: list[Array]
    current_step: int


def is_hdf5(path: FilePath) -> bool:
    """Whether the file begins as HDF5 files do. A missing file does not."""
    try:
        with Path(path).open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def write_weights_hdf5(path: FilePath, layers: Iterable[LayerBlobs], *, diff: bool = False) -> None:
    """All net layers in the net's order; with ``diff`` their gradients too. Raises
    SnapshotError."""
    with _writing(path) as file:
        groups = {"data": file.create_group("data")}
        if diff:
            groups["diff"] = file.create_group("diff")
        for layer in layers:
            for name, group in groups.items():
                inner = group.require_group(layer.name)
                for index, values in getattr(layer, name).items():
                    inner.create_dataset(str(index), data=np.asarray(values, "<f4"))


def read_weights_hdf5(path: FilePath) -> dict[str, dict[int, Array]]:
    """The learnable blobs by net layer and index, float32. A shared blob is with its owner alone.
    Raises SnapshotError."""
    with _reading(path) as file:
        group = file.get("data")
        if not isinstance(group, h5py.Group):
            raise SnapshotError(f"{path} holds no weights: it has no group data")
        return dict(_layers(path, group, ""))


def write_state(path: FilePath, state: SolverState) -> None:
    """Raises SnapshotError."""
    with _writing(path) as file:
        file.create_dataset("iter", data=np.array([state.iteration], "<i4"))
        text = os.fsencode(state.learned_net)
        # A string that ends with a zero, as C reads it; h5py would pad it.
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(text) + 1)
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        dataset = h5py.h5d.create(file.id, b"learned_net", kind, space)
        dataset.write(space, space, np.array(text, f"S{len(text) + 1}"), kind)
        file.create_dataset("current_step", data=np.array([state.current_step], "<i4"))
        history = file.create_group("history")
        for index, values in enumerate(state.history):
            history.create_dataset(str(index), data=np.asarray(values, "<f4"))


def read_state(path: FilePath) -> SolverState:
    """Raises SnapshotError."""
    with _reading(path) as file:
        numbers = {}
        for name in ("iter", "current_step"):
            values = file[name][()] if isinstance(file.get(name), h5py.Dataset) else np.empty(0)
            if values.size != 1 or values.dtype.kind not in "iu":
                raise SnapshotError(f"{path} is no solver state: it has no number {name}")
            numbers[name] = int(values.reshape(()))
        text = file["learned_net"][()] if "learned_net" in file else b""
        if not isinstance(text, bytes):
            raise SnapshotError(f"{path}: learned_net is not a path")
        history = file.get("history")
        if not isinstance(history, h5py.Group):
            raise SnapshotError(f"{path} is no solver state: it has no group history")
        blobs = []
        for index in range(len(history)):
            if str(index) not in history:
                raise SnapshotError(f"{path}: history {index} of {len(history)} is missing")
            blobs.append(_values(path, history[str(index)]))
        return SolverState(numbers["iter"], os.fsdecode(text), blobs, numbers["current_step"])


def not_written(path: FilePath, error: OSError) -> SnapshotError:
    """For an operation of the system that failed."""
    return SnapshotError(
        f"cannot write {path}: {error.strerror or error}",
        next_step="make room there, or choose a writable folder by snapshot_prefix",
    )


def not_read(path: FilePath, error: OSError) -> SnapshotError:
    """The same for reading."""
    return SnapshotError(
        f"cannot read {path}: {error.strerror or error}", next_step="check the path"
    )


def _layers(
    path: FilePath, group: h5py.Group, above: str
) -> Iterator[tuple[str, dict[int, Array]]]:
    for name, item in group.items():
        if not isinstance(item, h5py.Group):
            continue
        full = f"{above}{name}"
        yield (
            full,
            {
                int(index): _values(path, values)
                for index, values in item.items()
                if index.isdigit() and isinstance(values, h5py.Dataset)
            },
        )
        yield from _layers(path, item, f"{full}/")


def _values(path: FilePath, dataset: Any) -> Array:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise SnapshotError(f"{path}: {dataset.name} does not hold floating point numbers")
    shape = tuple(dataset.shape or ())
    size = int(np.prod(shape, dtype=object)) * dataset.dtype.itemsize
    # A damaged file may claim any size; what is not packed must really be there.
    if len(shape) > _MOST_AXES or (dataset.chunks is None and size > Path(path).stat().st_size):
        raise SnapshotError(f"{path}: {dataset.name} claims the shape {shape}; it is damaged")
    return np.asarray(dataset[()], np.float32)


@contextmanager
def _writing(path: FilePath) -> Iterator[Any]:
    try:
        with appearing(path) as temporary:
            try:
                with h5py.File(temporary, "w", libver=("earliest", "v110")) as file:
                    yield file
            except (RuntimeError, ValueError, TypeError, KeyError) as error:
                raise SnapshotError(f"cannot write {path}: {error}") from error
    except OSError as error:
        raise not_written(path, error) from None


@contextmanager
def _reading(path: FilePath) -> Iterator[Any]:
    """The open file; whatever the library says of it is converted here."""
    if not Path(path).is_file():
        raise SnapshotError(f"cannot read {path}: no such file", next_step="check the path")
    try:
        # Nothing writes to a snapshot any more, and some network file systems cannot lock.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except SnapshotError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise SnapshotError(
            f"{path} cannot be read as HDF5; it is cut short, damaged or something else "
            f"({' '.join(str(error).split())})",
            next_step="take another snapshot, or mend the path",
        ) from error
