"""InnerProduct: y = x · weightᵀ + bias, with the axes from ``axis`` on flattened into one.

Learnable blobs: weights (num_output, K), or (K, num_output) with ``transpose``, then bias
(num_output,). K is the product of the sizes from ``axis`` on, in the order of the shape whatever
the layout in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor, text


class InnerProduct(Layer):
    kind = "InnerProduct"
    reads_bottoms = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.inner_product_param
        self._first = bottoms[0]
        self._outputs: int = param.num_output
        self._transpose: bool = param.transpose
        self._bias: bool = param.bias_term
        if self._outputs < 1:
            raise self.refuse("num_output is 0", allowed="1 or more")
        axis = self.axis(param.axis, bottoms[0])
        self._inputs = math.prod(bottoms[0][axis:])
        weights = (self._outputs, self._inputs)
        self.add_learnable(weights[::-1] if self._transpose else weights, param.weight_filler)
        if self._bias:
            self.add_learnable((self._outputs,), param.bias_filler)
        self._kept: Tensor | None = None

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        axis = self.axis(self.param.inner_product_param.axis, shape)
        inputs = math.prod(shape[axis:])
        if inputs != self._inputs:
            raise self.misfit(
                f"a bottom of shape {text(shape)} ({inputs} values from axis {axis} on) came "
                f"after one of shape {text(self._first)} ({self._inputs} values), for which the "
                f"weights of shape {text(self.learnable[0].shape)} were made",
                allowed=f"{self._inputs} values from axis {axis} on",
                next_step="give every bottom of this layer the same size, or another layer",
            )
        self._bottom = shape
        self._top = (*shape[:axis], self._outputs)
        return [self._top]

    def _matrix(self) -> Tensor:
        """The weights as (K, num_output)."""
        weights = self.learnable[0].data
        return weights if self._transpose else weights.t()

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0].reshape(-1, self._inputs)
        self._kept = x if self.wants_backward else None
        if self._bias:
            y = torch.addmm(self.learnable[1].data, x, self._matrix())
        else:
            y = torch.mm(x, self._matrix())
        return [y if y.shape == self._top else y.view(self._top)]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        if self._kept is not None:
            self._kept = bottoms[0].reshape(-1, self._inputs)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if self._kept is None:
            raise self.refuse("backward comes before forward")
        x, diff = self._kept, diffs[0].reshape(-1, self._outputs)
        if self.learns[0]:
            gradient = self.learnable[0].diff
            if self._transpose:
                gradient.addmm_(x.t(), diff)
            else:
                gradient.addmm_(diff.t(), x)
        if self._bias and self.learns[1]:
            self.add_gradient(1, diff.sum(0))
        if not wanted[0]:
            return [None]
        return [torch.mm(diff, self._matrix().t()).view(self._bottom)]
