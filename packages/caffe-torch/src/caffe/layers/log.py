"""Log: y = log_base(shift + scale · x), base e where it is −1.

The gradient is scale / ln(base) / (shift + scale · x). In place Caffe's is wrong, and so is ours:
it has y for x, and is squared (see neuron.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe.layers.base import Shape, Tensor
from caffe.layers.neuron import Neuron, log_of_base


class Log(Neuron):
    kind = "Log"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        param = self.param.log_param
        log = log_of_base(self, param.base)
        if log == 0:
            raise self.refuse("log_param.base 1 has no logarithm", allowed="another one, or -1")
        self._outer: float = 1 / log
        self._scale: float = param.scale
        self._shift: float = param.shift

    def value(self, x: Tensor) -> Tensor:
        y = self._inside(x).log_()
        return y if self._outer == 1 else y.mul_(self._outer)

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        slope = self._inside(x).reciprocal_().mul_(self._scale * self._outer)
        return self.chain(slope, diff)

    def _inside(self, x: Tensor) -> Tensor:
        """shift + scale · x, in memory of its own."""
        scaled = x * self._scale
        # Adding 0 would turn -0 into 0, and the sign of an infinite gradient with it.
        return scaled if self._shift == 0 else scaled.add_(self._shift)
