"""LRN: y = x · s^-beta.

Across channels s = k + alpha / n · Σ x² over the n channels around, and the gradient is
dx = dy · s^-beta - 2 · alpha · beta / n · x · Σ (dy · y / s) over the same channels. Within a
channel s = 1 + alpha · mean of x² over n×n (zeros beyond the edge count; Caffe has no k there).

torch's local_response_norm is ten times slower on a CPU: it sums through a 3-D pooling. Here the
window is n - 1 additions of shifted channels, in whatever layout the bottom has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2
WITHIN: int = _pb2.LRNParameter.WITHIN_CHANNEL


class LRN(Layer):
    kind = "LRN"
    reads_bottoms = True
    reads_tops = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.lrn_param
        self._size: int = param.local_size
        self._within: bool = param.norm_region == WITHIN
        self._alpha: float = param.alpha if self._within else param.alpha / max(self._size, 1)
        self._beta: float = param.beta
        self._k: float = 1.0 if self._within else param.k
        if self._size % 2 == 0:
            raise self.refuse(
                f"local_size is {self._size}", allowed="an odd number, for a window with a middle"
            )

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms[0]) != 4:
            raise self.misfit(
                f"a bottom has shape {text(bottoms[0])}", allowed="N×C×H×W, four axes"
            )
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        self._scale = self._window(x * x).mul_(self._alpha).add_(self._k)
        self._factor = self._power(self._scale)
        self._x, self._y = x, x * self._factor
        return [self._y]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._x = bottoms[0]
        # Within a channel Caffe works the gradient out by layers of its own, not by the top.
        self._y = self._x * self._factor if self._within else tops[0]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        around = self._window((diffs[0] * self._y).div_(self._scale)).mul_(self._x)
        return [(diffs[0] * self._factor).sub_(around, alpha=2 * self._alpha * self._beta)]

    def _power(self, scale: Tensor) -> Tensor:
        """s^-beta; the usual beta by roots, which take a third of the time."""
        if self._beta != 0.75:
            return scale.pow(-self._beta)
        root = scale.rsqrt()
        return root.mul_(root.sqrt())

    def _window(self, values: Tensor) -> Tensor:
        """The sum over each window across channels, the mean over each within one. A window is its
        own mirror, so this serves forward and backward."""
        if self._within:
            half = (self._size - 1) // 2
            found: Tensor = torch.nn.functional.avg_pool2d(values, self._size, 1, half)
            return found
        total = values.clone()
        for step in range(1, min((self._size - 1) // 2, values.shape[1] - 1) + 1):
            total[:, step:] += values[:, :-step]
            total[:, :-step] += values[:, step:]
        return total
