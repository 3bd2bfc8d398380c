"""ReLU: y = max(x, 0) + negative_slope · min(x, 0).

The gradient at x = 0 is negative_slope, as in Caffe (torch's relu has 0 there, its leaky_relu the
slope).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor


class ReLU(Layer):
    kind = "ReLU"
    reads_bottoms = True
    in_place = True

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        slope = self.param.relu_param.negative_slope
        x = bottoms[0]
        self._bottom = x
        return [torch.relu(x) if slope == 0 else torch.nn.functional.leaky_relu(x, slope)]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._bottom = bottoms[0]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        slope = self.param.relu_param.negative_slope
        return [torch.ops.aten.leaky_relu_backward(diffs[0], self._bottom, slope, False)]
