"""PReLU: y = max(x, 0) + slope · min(x, 0), a learnable slope for each channel or one for all.

The channel is axis 1. At x = 0 the gradient is the slope. torch's prelu is the same; the slopes
start at 0.25 where the definition has no filler. In place Caffe keeps its input, so the gradient is
right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2


class PReLU(Layer):
    kind = "PReLU"
    reads_bottoms = True
    in_place = True
    _bottom: Tensor | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._check(bottoms[0])
        param = self.param.prelu_param
        filler = param.filler
        if not param.HasField("filler"):
            filler = _pb2.FillerParameter(type="constant", value=0.25)
        shape: Shape = () if param.channel_shared else (bottoms[0][1],)
        self._slope = self.add_learnable(shape, filler)
        self._channels = None if param.channel_shared else bottoms[0][1]

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._check(bottoms[0])
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = self._bottom = bottoms[0]
        return [torch.prelu(x, self._slope.data.reshape(-1))]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        if bottoms[0] is not tops[0]:
            self._bottom = bottoms[0]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if self._bottom is None:
            raise self.refuse("backward comes before forward")
        x, diff = self._bottom, diffs[0]
        if self.learns[0]:
            part = x.clamp(max=0).mul_(diff)
            if self._channels is None:
                self.add_gradient(0, part.sum())
            else:
                self.add_gradient(0, part.sum([axis for axis in range(x.dim()) if axis != 1]))
        if not wanted[0]:
            return [None]
        slope = self._slope.data.reshape((-1,) + (1,) * (x.dim() - 2))
        return [torch.where(x > 0, diff, diff * slope)]

    def _check(self, shape: Shape) -> None:
        if not 2 <= len(shape) <= 4:
            raise self.misfit(
                f"the bottom of shape {text(shape)} has {len(shape)} axes", allowed="2 to 4"
            )
