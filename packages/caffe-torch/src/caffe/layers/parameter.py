"""Parameter: a learnable blob as a top, for other layers to use. It begins as zeros.

As the top shares Caffe's blob, its gradient is that of the last backward: with iter_size above 1
the earlier ones of an iteration are lost, in Caffe and here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe.layers.base import Layer, Shape, Tensor
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2


class Parameter(Layer):
    kind = "Parameter"
    bottoms = (0, 0)
    shares_learnable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        shape = tuple(self.param.parameter_param.shape.dim)
        self.add_learnable(shape, _pb2.FillerParameter())

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [self.learnable[0].shape]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        return [self.learnable[0].data]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if self.learns[0]:
            self.learnable[0].diff.copy_(diffs[0])
        return []
