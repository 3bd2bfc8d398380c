"""Scale: y = x · s, or x · s + b with ``bias_term``.

s is a learnable blob (1 at first where no filler is given) or the second bottom, b always a
learnable blob; both lie along the same axes and are repeated along the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.layers.base import Layer, Shape, Tensor
from caffe.layers.spread import collect, learnable_shape, spread
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2


class Scale(Layer):
    kind = "Scale"
    reads_bottoms = True
    bottoms = (1, 2)
    in_place = True

    _kept: tuple[Tensor, Tensor] | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.scale_param
        if len(bottoms) == 1:
            shape = learnable_shape(self, param, bottoms[0])
            filler = param.filler
            if not param.HasField("filler"):
                filler = _pb2.FillerParameter(type="constant", value=1)
            self.add_learnable(shape, filler)
        else:
            shape = bottoms[1]
            spread(self, param.axis, shape, bottoms[0])
        self._own_scale = len(bottoms) == 1
        self._bias: bool = param.bias_term
        if self._bias:
            self.add_learnable(shape, param.bias_filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        operand = self.learnable[0].shape if self._own_scale else bottoms[1]
        axis = self.param.scale_param.axis
        self._operand = operand
        self._spread = spread(self, axis, operand, bottoms[0])
        if self._bias:
            self._bias_spread = spread(self, axis, self.learnable[-1].shape, bottoms[0])
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        operand = self.learnable[0].data if self._own_scale else bottoms[1]
        scale = operand.reshape(self._spread)
        self._kept = (x, scale) if self.wants_backward else None
        if self._bias:
            return [torch.addcmul(self.learnable[-1].data.reshape(self._bias_spread), x, scale)]
        return [x * scale]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        if self._kept is None:
            return
        x, scale = self._kept
        if not self._own_scale:
            scale = bottoms[1].reshape(self._spread)
        # In place Caffe has a copy of what the bottom was.
        self._kept = (x if bottoms[0] is tops[0] else bottoms[0], scale)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if self._kept is None:
            raise self.refuse("backward comes before forward")
        diff, (x, scale) = diffs[0], self._kept
        if self._bias and self.learns[-1]:
            self.add_gradient(len(self.learnable) - 1, collect(diff, self._bias_spread))
        found: list[Tensor | None] = [diff * scale if wanted[0] else None]
        if self._own_scale:
            if self.learns[0]:
                self.add_gradient(0, collect(diff * x, self._spread))
        else:
            operand = collect(diff * x, self._spread).reshape(self._operand) if wanted[1] else None
            found.append(operand)
        return found
