"""TanH: y = tanh(x), with the gradient 1 − y²; torch's, without its graph."""

from __future__ import annotations

import torch

from caffe.layers.base import Tensor
from caffe.layers.neuron import Neuron


class TanH(Neuron):
    kind = "TanH"

    def value(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.ops.aten.tanh_backward(diff, y)  # type: ignore[no-any-return]
