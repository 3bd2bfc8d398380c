"""Snapshot pairs in an output folder: which are there, which are whole.

A pair is ``<name>.solverstate`` with ``<name>.caffemodel``, or both with ``.h5``. What lies in a
hidden folder is still being written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from uaitrain.frameworks import wire

_ENDINGS = ((".solverstate.h5", ".caffemodel.h5"), (".solverstate", ".caffemodel"))

_ITERATION, _CURRENT_STEP = 1, 4
"""Fields of SolverState (caffe.proto). Caffe writes them in order and always ends with the last,
so that a state without it was cut short."""

_LAYER_FIELDS = {2, 100}
"""Fields of NetParameter that hold layers: of the old form, and today's."""

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HDF5_END = {0: 40, 1: 44}
"""Where a superblock of each version has the file's size; later versions: byte 28."""


class BrokenPairError(Exception):
    """A solver state or its weights are missing or cut short."""


@dataclass(frozen=True)
class Pair:
    """A whole pair; ``iteration`` is what the solver state itself says, for HDF5 its name."""

    state: Path
    model: Path
    iteration: int


def is_snapshot_file(name: str) -> bool:
    """Whether a file of this name is a state or weights."""
    return name.endswith(tuple(ending for pair in _ENDINGS for ending in pair))


def read(state: Path) -> Pair:
    """The pair of ``state``. Raises BrokenPairError."""
    model = _model_of(state)
    try:
        if state.suffix == ".h5":
            _check_hdf5(state)
            _check_hdf5(model)
            return Pair(state, model, _number_in(state.name))
        iteration = _iteration(state)
        _check_weights(model)
    except (OSError, wire.WireError) as error:
        raise BrokenPairError(f"{state.name}: {error}") from None
    return Pair(state, model, iteration)


def states(folder: Path) -> Iterator[Path]:
    """Every solver state below ``folder`` at its final place."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.endswith((".solverstate", ".solverstate.h5")):
                yield Path(parent, name)


def newest(folder: Path) -> Pair | None:
    """The whole pair of the highest iteration."""
    return max(whole(folder), key=lambda pair: pair.iteration, default=None)


def whole(folder: Path) -> Iterator[Pair]:
    for state in states(folder):
        try:
            yield read(state)
        except BrokenPairError:
            continue


def broken(folder: Path) -> Iterator[Path]:
    """The solver states that no run can go on from."""
    for state in states(folder):
        try:
            read(state)
        except BrokenPairError:
            yield state


def _model_of(state: Path) -> Path:
    for ending, model in _ENDINGS:
        if state.name.endswith(ending):
            return state.with_name(state.name.removesuffix(ending) + model)
    raise BrokenPairError(f"{state.name} is no solver state")


def _iteration(state: Path) -> int:
    found, last = None, 0
    with state.open("rb") as file:
        for field in wire.fields(file, 0, wire.file_size(file)):
            last = field.number
            if field.number == _ITERATION:
                found = field.value
    if found is None or last != _CURRENT_STEP:
        raise BrokenPairError(f"{state.name} is cut short")
    return found


def _check_weights(model: Path) -> None:
    with model.open("rb") as file:
        numbers = {field.number for field in wire.fields(file, 0, wire.file_size(file))}
    if not numbers & _LAYER_FIELDS:
        raise BrokenPairError(f"{model.name} holds no weights")


def _check_hdf5(path: Path) -> None:
    """The size that the superblock states (HDF5 File Format, "Disk Format: Level 0A")."""
    with path.open("rb") as file:
        head = file.read(64)
        size = wire.file_size(file)
    start = _HDF5_END.get(head[8], 28) if len(head) == 64 else 0
    if not head.startswith(_HDF5_SIGNATURE) or not start:
        raise BrokenPairError(f"{path.name} is not an HDF5 file")
    if int.from_bytes(head[start : start + 8], "little") > size:
        raise BrokenPairError(f"{path.name} is cut short")


def _number_in(name: str) -> int:
    digits = name.partition(".solverstate")[0].rpartition("_iter_")[2]
    if not digits.isdecimal():
        raise BrokenPairError(f"{name} does not end in _iter_NUMBER")
    return int(digits)
