"""HingeLoss, one class against the others: with s = −1 for the true class and 1 for the others,
h = max(0, 1 + s·x), the loss is Σh / N (L1) or Σh² / N (L2) over all N samples and classes.

All axes after the first count as classes. Of more labels than samples the first N count. The L1
gradient is s·[h > 0], so 0 at the kink.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from caffe.layers.base import Shape, Tensor
from caffe.layers.loss import ClassLabels, Loss
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2
_L1: int = _pb2.HingeLossParameter.L1


class HingeLoss(Loss):
    kind = "HingeLoss"
    reads_bottoms = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._l1 = self.param.hinge_loss_param.norm == _L1
        self._labels = ClassLabels(self, None)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        samples = bottoms[0][0]
        self._labels.reshape((samples, math.prod(bottoms[0][1:])), (samples,), 1)
        return tops

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        labels = self._labels
        scores = labels.spread(bottoms[0])
        classes, _ = labels.read(bottoms[1].flatten()[: labels.outer])
        hinge = scores.scatter(1, classes, labels.pick(scores, classes).neg_())
        hinge.add_(1).clamp_min_(0)
        self._kept = (hinge, classes, bottoms[0].shape)
        total = hinge.sum() if self._l1 else hinge.square().sum()
        return [total / labels.outer]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        hinge, _, shape = self._kept
        classes, _ = self._labels.read(bottoms[1].flatten()[: self._labels.outer])
        self._labels.judge(classes)
        self._kept = (hinge, classes, shape)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        self.judge_wanted(wanted)
        if not wanted[0]:
            return [None, None]
        hinge, classes, shape = self._kept
        scale = diffs[0].reshape(()) / self._labels.outer
        diff = torch.sign(hinge) * scale if self._l1 else hinge * (2 * scale)
        diff.scatter_(1, classes, diff.gather(1, classes).neg_())
        return [diff.view(shape), None]
