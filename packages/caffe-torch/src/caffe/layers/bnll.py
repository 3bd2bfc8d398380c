"""BNLL: y = log(1 + exp(x)), the binomial normal log likelihood; the gradient is sigmoid(x).

torch's softplus turns linear above a threshold of 20, Caffe never does in the forward pass.
In place Caffe takes y for x in the gradient, and so do we (see neuron.py).
"""

from __future__ import annotations

import torch

from caffe.layers.base import Tensor
from caffe.layers.neuron import Neuron


class BNLL(Neuron):
    kind = "BNLL"

    def value(self, x: Tensor) -> Tensor:
        return x.abs().neg_().exp_().log1p_().add_(x.clamp(min=0))

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.sigmoid(x).mul_(diff)
