"""Swish: y = x · sigmoid(beta · x).

The gradient is beta · y + sigmoid(beta · x) · (1 − beta · y). torch's silu is the case beta = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, Tensor
from caffe.layers.neuron import Neuron


class Swish(Neuron):
    kind = "Swish"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        self._beta: float = self.param.swish_param.beta

    def value(self, x: Tensor) -> Tensor:
        self._sigmoid = torch.sigmoid(x if self._beta == 1 else x * self._beta)
        return x * self._sigmoid

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        scaled = y if self._beta == 1 else y * self._beta
        return ((1 - scaled).mul_(self._sigmoid)).add_(scaled).mul_(diff)
