"""ELU: y = max(x, 0) + alpha · (exp(min(x, 0)) − 1).

The gradient is alpha + y for x <= 0, alpha itself at 0 (torch: the same, from its own input). In
place, the sign of y stands for that of x, so a negative alpha has Caffe's odd gradient there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Shape, Tensor
from caffe.layers.neuron import Neuron


class ELU(Neuron):
    kind = "ELU"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        self._alpha: float = self.param.elu_param.alpha

    def value(self, x: Tensor) -> Tensor:
        # exp(x) - 1 and not expm1: Caffe rounds in between.
        below = x.clamp(max=0).exp_().sub_(1).mul_(self._alpha)
        return below.add_(x.clamp(min=0))

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.where(x > 0, diff, (y + self._alpha).mul_(diff))
