"""Blobs as numpy arrays: what is written into a view is what the net computes with.

A view stays true while the net runs: forward, backward and updates write into its memory. It
ends to be the net's when the blob's number of elements changes, and is kept alive by numpy.
What is written between forward and backward counts as in Caffe: where Caffe's backward reads a
blob, it reads what was written; where Caffe has a buffer of its own, it goes by that.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe import blob as core
from caffe.errors import UsageError

Array = np.ndarray[Any, np.dtype[np.float32]]
_LEGACY_AXES = 4


class Blob:
    """``data`` and ``diff`` are float32, C-contiguous, written through."""

    __slots__ = ("_core",)

    def __init__(self, blob: core.Blob) -> None:
        self._core = blob

    @property
    def data(self) -> Array:
        return self._core.data_memory.numpy(self._core.shape)

    @property
    def diff(self) -> Array:
        return self._core.diff_memory.numpy(self._core.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._core.shape

    @property
    def count(self) -> int:
        return self._core.count

    @property
    def num(self) -> int:
        return self._legacy(0)

    @property
    def channels(self) -> int:
        return self._legacy(1)

    @property
    def height(self) -> int:
        return self._legacy(2)

    @property
    def width(self) -> int:
        return self._legacy(3)

    def reshape(self, *dims: int) -> None:
        """Change the shape; what follows in the net changes at the next forward or reshape.

        Raises TypeError for what is no whole number, UsageError for a negative one.
        """
        shape = tuple(operator.index(size) for size in dims)
        if any(size < 0 for size in shape):
            raise UsageError(f"a blob cannot have the shape {shape}", allowed="sizes from 0 on")
        self._core.shape = shape

    def _legacy(self, axis: int) -> int:
        """One of the four sizes that blobs had before they had any number of axes."""
        shape = self._core.shape
        if len(shape) > _LEGACY_AXES:
            raise UsageError(
                f"a blob with {len(shape)} axes has no num, channels, height and width",
                next_step="use shape",
            )
        return shape[axis] if axis < len(shape) else 1


class BlobVec(list[Blob]):
    """A net layer's learnable blobs. ``add_blob(*dims)`` makes one more, of zeros."""

    def __init__(
        self, blobs: list[core.Blob], add: Callable[[tuple[int, ...]], core.Blob] | None = None
    ) -> None:
        super().__init__(Blob(blob) for blob in blobs)
        self._add = add

    def add_blob(self, *dims: int) -> None:
        """In ``setup`` of a layer in Python. Raises UsageError anywhere else."""
        if self._add is None:
            raise UsageError(
                "blobs cannot be added to this layer",
                allowed="self.blobs.add_blob(...) in setup of a layer in Python",
            )
        self.append(Blob(self._add(tuple(operator.index(size) for size in dims))))
