"""BatchReindex: item ``bottom[1][i]`` of the first bottom becomes item i of the top.

Items may be chosen several times (their gradients add up) or not at all (0). Fractions are cut off.
There is no gradient to the indices; Caffe aborts when one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.errors import DataError
from caffe.layers.base import Layer, Shape, Tensor, text


class BatchReindex(Layer):
    kind = "BatchReindex"
    reads_bottoms = True
    bottoms = (2, 2)
    _chosen: Tensor | None = None

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        items, indices = bottoms
        if len(indices) != 1:
            raise self.misfit(
                f"the indices, bottom 1, have shape {text(indices)}", allowed="a single axis"
            )
        if not items:
            raise self.misfit("bottom 0 is a scalar", allowed="one axis or more")
        self._shape = tuple(items)
        return [(indices[0], *items[1:])]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._chosen = self._indices(*bottoms)
        return [bottoms[0].index_select(0, self._chosen)]

    def _indices(self, items: Tensor, indices: Tensor) -> Tensor:
        """As int64. Raises DataError for one that is no item."""
        wrong = (indices < 0) | (indices >= items.shape[0])
        if bool(wrong.any()):
            raise DataError(
                f'layer "{self.name}" ({self.kind}): index {float(indices[wrong][0]):g} in bottom '
                f"1, but bottom 0 of shape {text(items.shape)} has {items.shape[0]} items",
                allowed=f"0 to {items.shape[0] - 1}",
            )
        return indices.to(torch.int64)

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._chosen = self._indices(*bottoms)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if wanted[1]:
            raise self.refuse(
                "has no gradient to its indices, bottom 1",
                next_step="set propagate_down: false for that bottom",
            )
        if self._chosen is None:
            raise self.refuse("backward comes before forward")
        if not wanted[0]:
            return [None, None]
        diff = diffs[0]
        found = torch.zeros(self._shape, dtype=diff.dtype, device=diff.device)
        return [found.index_add_(0, self._chosen, diff), None]
