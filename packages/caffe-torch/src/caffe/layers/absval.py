"""AbsVal: y = |x|, with the gradient sign(x), 0 at 0, as torch's. Not in place, in Caffe either."""

from __future__ import annotations

from caffe.layers.base import Tensor
from caffe.layers.neuron import Neuron


class AbsVal(Neuron):
    kind = "AbsVal"
    in_place = False

    def value(self, x: Tensor) -> Tensor:
        return x.abs()

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return x.sign().mul_(diff)
