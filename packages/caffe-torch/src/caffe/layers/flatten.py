"""Flatten: the axes from ``axis`` to ``end_axis`` become one; a view where the layout allows it.

As in Caffe, an ``end_axis`` just before ``axis`` puts in an axis of size 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.layers.base import Layer, Shape, Tensor, text


class Flatten(Layer):
    kind = "Flatten"
    shares_data = True
    shares_diff = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._first: int = self.param.flatten_param.axis
        self._last: int = self.param.flatten_param.end_axis

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._from = shape = tuple(bottoms[0])
        first = self.axis(self._first, shape)
        last = self.axis(self._last, shape, "end_axis")
        if last + 1 < first:
            raise self.misfit(
                f"end_axis {self._last} is before axis {self._first} in a bottom of shape "
                f"{text(shape)}"
            )
        self._to = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
        return [self._to]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        return [bottoms[0].reshape(self._to)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return [diffs[0].reshape(self._from) if wanted[0] else None]
