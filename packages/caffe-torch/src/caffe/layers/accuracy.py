"""Accuracy: the part of the samples whose true class is among the top_k best.

A class of equal score counts as better than the true one (an argmax would count for it), and a
score of NaN makes a hit, as no class is better. The second top has the accuracy of each class, 0
for a class that no label names. It has no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor
from caffe.layers.loss import ClassLabels, ignore_label


class Accuracy(Layer):
    kind = "Accuracy"
    bottoms = (2, 2)
    tops = (1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.accuracy_param
        self._top_k = int(param.top_k)
        self._labels = ClassLabels(self, ignore_label(param))
        self._per_class = len(self.param.top) > 1

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._labels.reshape(bottoms[0], bottoms[1], self.param.accuracy_param.axis)
        if self._top_k > self._labels.classes:
            raise self.refuse(
                f"top_k is {self._top_k}, and {self._labels.classes} classes are predicted",
                allowed=f"top_k up to {self._labels.classes}",
            )
        return [(), (self._labels.classes,)] if self._per_class else [()]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        labels = self._labels
        scores = labels.spread(bottoms[0])
        classes, ignored = labels.read(bottoms[1])
        better = (scores >= labels.pick(scores, classes)).sum(1, keepdim=True) - 1
        counted = torch.ones_like(classes, dtype=scores.dtype)
        if ignored is not None:
            counted.masked_fill_(ignored, 0)
        hits = counted * (better < self._top_k)
        tops = [hits.sum() / counted.sum().clamp_min(1)]
        if self._per_class:
            asked, hit = scores.new_zeros(2, labels.classes)
            asked.scatter_add_(0, classes.flatten(), counted.flatten())
            hit.scatter_add_(0, classes.flatten(), hits.flatten())
            tops.append(hit / asked.clamp_min(1))
        return tops

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if any(wanted):
            raise self.refuse(
                "has no gradient, and one of its bottoms wants one",
                next_step="take its loss_weight away, or force_backward",
            )
        return [None, None]

    def may_force_backward(self, bottom: int) -> bool:
        return False
