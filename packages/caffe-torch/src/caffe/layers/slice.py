"""Slice: cuts its bottom along ``axis`` (or the old field ``slice_dim``), at the slice points or
into equal parts.

torch.split: the tops are views of the bottom. Every part has a size of 1 at least: Caffe defines an
empty last part, and aborts when it goes forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.layers.concat import old_or_new_axis


class Slice(Layer):
    kind = "Slice"
    tops = (1, None)
    takes_missing_diffs = True
    _bottom: Tensor | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._param = self.param.slice_param
        if self._param.HasField("axis") and self._param.HasField("slice_dim"):
            raise self.refuse("has both axis and slice_dim", allowed="axis alone")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = tuple(bottoms[0])
        axis = self._axis = old_or_new_axis(self, self._param, "slice_dim", shape)
        self._sizes = self._cut(shape)
        return [(*shape[:axis], size, *shape[axis + 1 :]) for size in self._sizes]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._bottom = bottoms[0]
        return list(torch.split_with_sizes(bottoms[0], self._sizes, self._axis))

    def backward(
        self, diffs: Sequence[Tensor | None], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        if self._bottom is None:
            raise self.refuse("backward comes before forward")
        if len(diffs) == 1 and diffs[0] is not None:
            return [diffs[0]]
        parts = [
            torch.zeros_like(part) if diff is None else diff
            for part, diff in zip(
                torch.split_with_sizes(self._bottom, self._sizes, self._axis), diffs, strict=True
            )
        ]
        return [torch.cat(parts, self._axis)]

    def _cut(self, shape: Shape) -> list[int]:
        """The tops' sizes along the axis."""
        size, tops = shape[self._axis], len(self.param.top)
        points = list(self._param.slice_point)
        where = f"axis {self._axis} of a bottom of shape {text(shape)}"
        if not points:
            if size % tops:
                raise self.misfit(
                    f"{tops} tops do not divide {where} evenly",
                    next_step="give slice_point, one less than tops",
                )
            return [size // tops] * tops
        if len(points) != tops - 1:
            raise self.refuse(
                f"has {len(points)} slice_point for {tops} tops", allowed=f"{tops - 1}, or none"
            )
        rising = all(a < b for a, b in pairwise([0, *points]))
        if not rising or points[-1] >= size or tops > size:
            raise self.misfit(
                f"slice_point {', '.join(map(str, points))} do not cut {where} into {tops} parts",
                allowed=f"rising numbers from 1 to {size - 1}",
            )
        return [b - a for a, b in pairwise([0, *points, size])]
