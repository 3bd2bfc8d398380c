"""Exp: y = base ^ (shift + scale · x), base e where it is −1; the gradient is y · scale · ln(base).

As Caffe does it: y = base^shift · exp(x · scale · ln(base)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.layers.base import Shape, Tensor
from caffe.layers.neuron import Neuron, log_of_base


class Exp(Neuron):
    kind = "Exp"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        param = self.param.exp_param
        log = log_of_base(self, param.base)
        self._inner: float = log * param.scale
        self._outer: float = 1.0
        if param.shift != 0:
            self._outer = _float_power(math.e if param.base == -1 else param.base, param.shift)

    def value(self, x: Tensor) -> Tensor:
        y = x.exp() if self._inner == 1 else (x * self._inner).exp_()
        return y if self._outer == 1 else y.mul_(self._outer)

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        found = y * diff
        return found if self._inner == 1 else found.mul_(self._inner)


def _float_power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
