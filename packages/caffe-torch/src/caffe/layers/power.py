"""Power: y = (shift + scale · x) ^ power.

Caffe's gradient is power · scale · y / (shift + scale · x), so it is 0/0 = NaN where the base is
0, unless power is 1 or 2; torch's would be 0 or infinite there. With power or scale 0 the output is
a constant and the gradient 0. In place Caffe's gradient is wrong, and so is ours: power · scale ·
y / (shift + scale · y), squared (see neuron.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, Tensor
from caffe.layers.neuron import Neuron


class Power(Neuron):
    kind = "Power"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        param = self.param.power_param
        self._power: float = param.power
        self._scale: float = param.scale
        self._shift: float = param.shift
        self._slope = self._power * self._scale

    def value(self, x: Tensor) -> Tensor:
        if self._slope == 0:
            shift = torch.full((), self._shift, dtype=x.dtype, device=x.device)
            return torch.empty_like(x).copy_(shift.pow(self._power))
        base = self._base(x)
        return base if self._power == 1 else base.pow(self._power)

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        if self._slope == 0:
            return torch.zeros_like(x)
        if self._power == 1:
            if self._overwrites:
                return torch.full_like(diff, self._slope**2)
            return diff if self._slope == 1 else diff * self._slope
        if self._power == 2:
            return self.chain(self._base(x) * self._slope, diff)
        if self._shift == 0:
            return self.chain((y / x).mul_(self._power), diff)
        return self.chain((y / self._base(x)).mul_(self._slope), diff)

    def _base(self, x: Tensor) -> Tensor:
        scaled = x if self._scale == 1 else x * self._scale
        return scaled if self._shift == 0 else scaled + self._shift
