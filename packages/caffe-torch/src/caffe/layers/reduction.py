"""Reduction: coeff times the SUM, ASUM (of magnitudes), SUMSQ (of squares) or MEAN of all axes
from ``axis`` to the last.

The gradient of ASUM is 0 at 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from caffe.layers.base import Layer, Shape, Tensor
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2
ASUM = _pb2.ReductionParameter.ASUM
SUMSQ = _pb2.ReductionParameter.SUMSQ
MEAN = _pb2.ReductionParameter.MEAN


class Reduction(Layer):
    kind = "Reduction"
    reads_bottoms = True
    _bottom: Tensor | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._operation: int = self.param.reduction_param.operation
        self._axis: int = self.param.reduction_param.axis

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = tuple(bottoms[0])
        axis = self.axis(self._axis, shape)
        count = math.prod(shape[axis:])
        self._top = shape[:axis]
        self._coeff: float = self.param.reduction_param.coeff
        if self._operation == MEAN:
            self._coeff = self._coeff / count if count else math.nan
        self._rows = (*self._top, count)
        self._spread = self._top + (1,) * (len(shape) - axis)
        return [self._top]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._bottom = bottoms[0]
        rows = bottoms[0].reshape(self._rows)
        if self._operation == ASUM:
            rows = rows.abs()
        elif self._operation == SUMSQ:
            rows = rows.square()
        return [rows.sum(-1).mul_(self._coeff)]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._bottom = bottoms[0]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        x = self._bottom
        if x is None:
            raise self.refuse("backward comes before forward")
        slope = (diffs[0] * self._coeff).reshape(self._spread)
        if self._operation == ASUM:
            return [x.sign().mul_(slope)]
        if self._operation == SUMSQ:
            return [(x * 2).mul_(slope)]
        return [slope.expand(x.shape).contiguous()]
