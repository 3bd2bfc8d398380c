"""HDF5 files with one dataset a top, all with the same number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caffe.data.faults import Fail

Array = np.ndarray[Any, Any]
_INTEGERS_AND_FLOATS = "iuf"


def read_names(source: str, fail: Fail) -> list[str]:
    """The HDF5 files that ``source`` lists, parted by white space. Raises what ``fail`` makes."""
    try:
        names = Path(source).read_bytes().decode("utf-8", "surrogateescape").split()
    except OSError as error:
        raise fail(
            f'source "{source}" cannot be read: {error.strerror}',
            allowed="a text file that lists HDF5 files",
        ) from None
    if not names:
        raise fail(f'source "{source}" lists no file', next_step="list an HDF5 file a line")
    return names


def read_rows(path: str, tops: Sequence[str], fail: Fail) -> list[Array]:
    """The dataset of each top as float32, converted by HDF5 as for Caffe. Raises what ``fail``
    makes."""
    try:
        with h5py.File(path, "r") as file:
            found = [_read(path, file, top, fail) for top in tops]
    except OSError as error:
        if not Path(path).is_file():
            raise fail(
                f'HDF5 file "{path}" does not exist',
                next_step="paths count from the folder that training was started in",
            ) from None
        raise fail(f'HDF5 file "{path}" cannot be read: {error}') from None
    rows = {top: len(array) for top, array in zip(tops, found, strict=True)}
    if len(set(rows.values())) > 1:
        raise fail(
            f'HDF5 file "{path}" has datasets of different lengths: '
            + ", ".join(f"{top} {count}" for top, count in rows.items()),
            allowed="one row of each for every sample",
        )
    if not len(found[0]):
        raise fail(f'HDF5 file "{path}" has no rows')
    return found


def _read(path: str, file: Any, top: str, fail: Fail) -> Array:
    name = f'HDF5 file "{path}", dataset "{top}"'
    dataset = file.get(top)
    if not isinstance(dataset, h5py.Dataset):
        raise fail(
            f'HDF5 file "{path}" has no dataset "{top}"',
            allowed="tops with the names of datasets: " + ", ".join(file),
        )
    enumeration = h5py.check_enum_dtype(dataset.dtype) is not None or dataset.dtype == bool
    if dataset.dtype.kind not in _INTEGERS_AND_FLOATS or enumeration:
        raise fail(f"{name} is of type {dataset.dtype}", allowed="integers and floats")
    if dataset.ndim < 1:
        raise fail(f"{name} has no axes", allowed="1 axis or more, the first for the samples")
    array = np.empty(dataset.shape, np.float32)
    if array.size:
        dataset.read_direct(array)
    return array
