"""EuclideanLoss: Σ(a − b)² / (2N), N the first dimension; the gradient goes to both bottoms.

torch's mse_loss divides by the number of elements, and has no half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from caffe.layers.base import Shape, Tensor, text
from caffe.layers.loss import Loss


class EuclideanLoss(Loss):
    kind = "EuclideanLoss"
    without_gradient: ClassVar[dict[int, str]] = {}

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        if math.prod(bottoms[0][1:]) != math.prod(bottoms[1][1:]):
            raise self.misfit(
                f"its bottoms have shapes {text(bottoms[0])} and {text(bottoms[1])}",
                allowed="as many numbers per sample in both",
            )
        return tops

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        first, second = bottoms
        self._shapes = first.shape, second.shape
        self._difference = first - second.reshape(first.shape)
        flat = self._difference.flatten()
        return [flat.dot(flat) / (2 * first.shape[0])]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        scale = diffs[0].reshape(()) / self._shapes[0][0]
        return [
            (self._difference * (scale * sign)).reshape(shape) if want else None
            for sign, shape, want in zip((1, -1), self._shapes, wanted, strict=True)
        ]
