"""All learnable blobs of a net in one run of memory, so that an update is a few operations.

Blobs with the same lr_mult and decay_mult lie side by side in one segment. Each blob begins at a
multiple of 64 bytes, where matrix kernels are fastest; what lies between is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from caffe.blob import Blob

Tensor = torch.Tensor

_ALIGNMENT = 16
"""In float32 values."""


@dataclass(frozen=True)
class Segment:
    """The half-open range of a flat tensor in which these multipliers hold."""

    start: int
    stop: int
    lr_mult: float
    decay_mult: float


class FlatParameters:
    """``data`` and ``diff`` are flat float32 tensors; the blobs' own become views of them.

    ``blobs`` are the owners, each once, in the net's order; ``segments`` cover the flat tensors
    without a gap.
    """

    def __init__(
        self, blobs: Sequence[Blob], lr_mults: Sequence[float], decay_mults: Sequence[float]
    ) -> None:
        self._shapes = [blob.shape for blob in blobs]
        self._starts = [0] * len(blobs)
        self.segments: list[Segment] = []
        groups: dict[tuple[float, float], list[int]] = {}
        for index, multipliers in enumerate(zip(lr_mults, decay_mults, strict=True)):
            groups.setdefault(multipliers, []).append(index)
        stop = 0
        for (lr_mult, decay_mult), members in groups.items():
            start = stop
            for index in members:
                self._starts[index] = stop
                stop += -(-blobs[index].count // _ALIGNMENT) * _ALIGNMENT
            self.segments.append(Segment(start, stop, lr_mult, decay_mult))
        self._size = stop
        self._memories = [
            memory for blob in blobs for memory in (blob.data_memory, blob.diff_memory)
        ]
        self._device = blobs[0].device if blobs else torch.device("cpu")
        self.data = self.like()
        self.diff = self.like()
        for blob, data, diff in zip(
            blobs, self.views(self.data), self.views(self.diff), strict=True
        ):
            blob.data_memory.fix(data)
            blob.diff_memory.fix(diff)

    def settle(self) -> None:
        """Before the flat tensors are used: take over what was written into the blobs' numpy
        views, which on a GPU lie apart."""
        for memory in self._memories:
            memory.settle()

    def like(self) -> Tensor:
        """A flat tensor of zeros."""
        return torch.zeros(self._size, device=self._device)

    def views(self, flat: Tensor) -> list[Tensor]:
        """A flat tensor seen as one tensor per blob, in the net's order and shapes."""
        return [
            flat[start : start + math.prod(shape)].view(shape)
            for start, shape in zip(self._starts, self._shapes, strict=True)
        ]
