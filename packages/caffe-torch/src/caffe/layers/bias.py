"""Bias: y = x + b, with b a learnable blob or the second bottom, repeated along axes it lacks."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.layers.base import Layer, Shape, Tensor
from caffe.layers.spread import collect, learnable_shape, spread


class Bias(Layer):
    kind = "Bias"
    bottoms = (1, 2)
    in_place = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.bias_param
        if len(bottoms) == 1:
            self.add_learnable(learnable_shape(self, param, bottoms[0]), param.filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._operand = bottoms[1] if len(bottoms) > 1 else self.learnable[0].shape
        self._spread = spread(self, self.param.bias_param.axis, self._operand, bottoms[0])
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        operand = bottoms[1] if len(bottoms) > 1 else self.learnable[0].data
        return [bottoms[0] + operand.reshape(self._spread)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        diff = diffs[0]
        found: list[Tensor | None] = [diff if wanted[0] else None]
        if self.learnable:
            if self.learns[0]:
                self.add_gradient(0, collect(diff, self._spread))
        else:
            operand = collect(diff, self._spread).reshape(self._operand) if wanted[1] else None
            found.append(operand)
        return found
