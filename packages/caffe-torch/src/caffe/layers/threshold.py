"""Threshold: y = 1 where x > threshold, else 0. It has no gradient; Caffe aborts on a backward."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.layers.base import Shape, Tensor
from caffe.layers.neuron import Neuron, no_gradient


class Threshold(Neuron):
    kind = "Threshold"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        self._threshold: float = self.param.threshold_param.threshold

    def value(self, x: Tensor) -> Tensor:
        return (x > self._threshold).to(x.dtype)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        raise no_gradient(self)
