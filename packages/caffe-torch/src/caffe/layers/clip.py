"""Clip: y = max(min, min(x, max)); the gradient passes where min <= x <= max, ends included.

With min above max everything is min (torch's clamp gives max). Without a clip_param both are 0. In
place Caffe judges y, so that everything passes (see neuron.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe.layers.base import Shape, Tensor
from caffe.layers.neuron import Neuron


class Clip(Neuron):
    kind = "Clip"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        self._min: float = self.param.clip_param.min
        self._max: float = self.param.clip_param.max

    def value(self, x: Tensor) -> Tensor:
        return x.clamp(max=self._max).clamp_(min=self._min)

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return diff * ((x >= self._min) & (x <= self._max))
