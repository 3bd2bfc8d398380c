"""SigmoidCrossEntropyLoss: −Σ(t·log σ(x) + (1 − t)·log(1 − σ(x))) / normaliser, written as
x·(t − [x ≥ 0]) − log(1 + e^(−|x|)) so that it cannot overflow.

The normaliser is BATCH_SIZE by default: the first dimension, not the number of elements as in
torch's binary_cross_entropy_with_logits. ignore_label is compared with t cut to a whole number.

On the CPU the sum is made term by term in float32, as Caffe makes it: over the 12,544 terms of a
batch of 16 MNIST images that is off by up to 1e-5, more than the house's bar for parity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from caffe.layers.base import Shape, Tensor, text
from caffe.layers.loss import BATCH_SIZE, Loss, ignore_label, normalization, normalizer


class SigmoidCrossEntropyLoss(Loss):
    kind = "SigmoidCrossEntropyLoss"
    reads_bottoms = True
    copies_bottoms = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._mode = normalization(self.param.loss_param, BATCH_SIZE)
        self._ignore = ignore_label(self.param.loss_param)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        if math.prod(bottoms[0]) != math.prod(bottoms[1]):
            raise self.misfit(
                f"the predictions have shape {text(bottoms[0])}, the targets {text(bottoms[1])}",
                allowed="as many of each",
            )
        return tops

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        target = bottoms[1].reshape(x.shape)
        ignored = self._ignored(target)
        losses = x * (target - (x >= 0).to(x.dtype)) - (1 + (-x.abs()).exp_()).log_()
        if ignored is not None:
            losses.masked_fill_(ignored, 0)
        outer = x.shape[0]
        scale = normalizer(self._mode, outer, x.numel() // outer, ignored)
        self._kept = (x, target, ignored, scale)
        return [_sum_in_order(losses).div_(scale).neg_()]

    def _ignored(self, target: Tensor) -> Tensor | None:
        return None if self._ignore is None else target.trunc() == self._ignore

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        # Caffe counts what is not ignored in forward alone.
        x, _, _, scale = self._kept
        target = bottoms[1].reshape(x.shape)
        self._kept = (x, target, self._ignored(target), scale)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        self.judge_wanted(wanted)
        if not wanted[0]:
            return [None, None]
        x, target, ignored, normal = self._kept
        diff = torch.sigmoid(x).sub_(target).mul_(diffs[0].reshape(()) / normal)
        if ignored is not None:
            diff.masked_fill_(ignored, 0)
        return [diff, None]


def _sum_in_order(values: Tensor) -> Tensor:
    if values.device.type != "cpu" or not values.numel():
        return values.sum()
    return values.new_tensor(np.add.accumulate(values.reshape(-1).numpy())[-1])
