"""ContrastiveLoss: pairs of feature vectors a, b (N×C each) that are alike or not.

With d = ‖a − b‖ and y the third bottom cut to a whole number, the loss is the sum over pairs,
divided by 2N, of d² where y is not 0, and else of max(margin − d, 0)², or with legacy_version of
max(margin − d², 0). Caffe divides by d + 1e-4 in the gradient, so does this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from caffe.layers.base import Shape, Tensor, text
from caffe.layers.loss import Loss


class ContrastiveLoss(Loss):
    kind = "ContrastiveLoss"
    reads_bottoms = True
    bottoms = (3, 3)
    without_gradient: ClassVar[dict[int, str]] = {2: "label"}

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._margin = self.param.contrastive_loss_param.margin
        self._legacy = self.param.contrastive_loss_param.legacy_version

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        first, second, label = bottoms
        if first[:1] != second[:1]:
            return super().reshape(bottoms)
        flat = all(len(shape) >= 2 and math.prod(shape[2:]) == 1 for shape in (first, second))
        if not flat or first[:2] != second[:2]:
            raise self.misfit(
                f"its features have shapes {text(first)} and {text(second)}",
                allowed="N×C and the same for both",
            )
        if math.prod(label) != first[0]:
            raise self.misfit(
                f"the label has shape {text(label)}", allowed=f"{first[0]}, one number per pair"
            )
        return super().reshape(bottoms)

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        first, second, label = bottoms
        pairs = first.shape[0]
        difference = (first - second.reshape(first.shape)).view(pairs, -1)
        squared = difference.square().sum(1)
        alike = label.flatten().long() != 0
        distance = squared if self._legacy else squared.sqrt()
        gap = (self._margin - distance).clamp_min_(0)
        unlike = gap if self._legacy else gap.square()
        self._kept = (difference, distance, gap, alike, (first.shape, second.shape))
        return [torch.where(alike, squared, unlike).sum() / (2 * pairs)]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        difference, distance, gap, _, shapes = self._kept
        self._kept = (difference, distance, gap, bottoms[2].flatten().long() != 0, shapes)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        self.judge_wanted(wanted)
        difference, distance, gap, alike, shapes = self._kept
        apart = (gap > 0).to(gap.dtype) if self._legacy else gap / (distance + 1e-4)
        factor = torch.where(alike, torch.ones_like(gap), -apart)
        diff = difference * (factor * (diffs[0].reshape(()) / len(gap))).unsqueeze(1)
        return [
            diff.view(shapes[0]) if wanted[0] else None,
            diff.neg().view(shapes[1]) if wanted[1] else None,
            None,
        ]
