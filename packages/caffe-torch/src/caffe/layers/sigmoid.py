"""Sigmoid: y = 1 / (1 + exp(−x)), with the gradient y · (1 − y).

Caffe computes 0.5 · tanh(0.5 · x) + 0.5, so below about −17 it gives 0 where torch still has the
tiny true value; both are the same to the float32 rounding of 1.
"""

from __future__ import annotations

import torch

from caffe.layers.base import Tensor
from caffe.layers.neuron import Neuron


class Sigmoid(Neuron):
    kind = "Sigmoid"

    def value(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.ops.aten.sigmoid_backward(diff, y)  # type: ignore[no-any-return]
