"""MVN: y = (x - mean) / (deviation + eps), for each channel of each image, or for each image.

``across_channels`` takes the mean and the deviation (the root of the biased variance) over a whole
image; without ``normalize_variance`` only the mean is taken away. eps stands outside the root. The
gradient is Caffe's: (dy - mean(dy) - y · mean(dy · y)) / (deviation + eps), which is the derivative
up to a factor of deviation / (deviation + eps) in its last term.

A bottom has at most four axes; those that it lacks at the end are added to the top, as 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.layers.base import Layer, Shape, Tensor, text


class MVN(Layer):
    kind = "MVN"
    reads_tops = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.mvn_param
        self._divides: bool = param.normalize_variance
        self._across: bool = param.across_channels
        self._eps: float = param.eps

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        if len(shape) > 4:
            raise self.misfit(f"a bottom has shape {text(shape)}", allowed="at most four axes")
        rows = math.prod(shape[: 1 if self._across else 2])
        self._rows = (rows, math.prod(shape) // rows)
        self._top = (*shape, *(1,) * (4 - len(shape)))
        self._bottom = shape
        return [self._top]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0].reshape(self._rows)
        y = x - x.mean(1, keepdim=True)
        if self._divides:
            self._divisor = (y * y).mean(1, keepdim=True).sqrt_().add_(self._eps)
            y.div_(self._divisor)
        self._y = y
        return [y.view(self._top)]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._y = tops[0].reshape(self._rows)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        diff, y = diffs[0].reshape(self._rows), self._y
        gradient = diff - diff.mean(1, keepdim=True)
        if self._divides:
            gradient.sub_(y * (diff * y).mean(1, keepdim=True)).div_(self._divisor)
        return [gradient.view(self._bottom)]
