"""Softmax: y = exp(x - max x) / Σ exp(x - max x) along ``axis``."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor

_backward = torch.ops.aten._softmax_backward_data.default


class Softmax(Layer):
    kind = "Softmax"
    reads_tops = True
    in_place = True

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._axis = self.axis(self.param.softmax_param.axis, bottoms[0])
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._top = torch.softmax(bottoms[0], self._axis)
        return [self._top]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._top = tops[0]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        return [_backward(diffs[0], self._top, self._axis, self._top.dtype)]
