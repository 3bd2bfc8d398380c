"""MultinomialLogisticLoss: the mean of −log(p[label]) where the bottom has the probabilities.

A probability below 1e-20 counts as 1e-20, for the gradient −1 / (N·p) too (a clamp in torch would
have none there). All axes after the first count as classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.layers.base import Shape, Tensor, text
from caffe.layers.loss import LOG_THRESHOLD, ClassLabels, Loss


class MultinomialLogisticLoss(Loss):
    kind = "MultinomialLogisticLoss"
    reads_bottoms = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._labels = ClassLabels(self, None)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        first, second = bottoms
        if math.prod(second[1:]) != 1:
            raise self.misfit(f"the label has shape {text(second)}", allowed="one label per sample")
        self._labels.reshape((first[0], math.prod(first[1:])), second, 1)
        return tops

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self.reread(bottoms, [])
        return [self._kept[0].log().sum() / -self._labels.outer]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        labels = self._labels
        classes, _ = labels.read(bottoms[1])
        likely = labels.pick(labels.spread(bottoms[0]), classes).clamp_min_(LOG_THRESHOLD)
        self._kept = (likely, classes, bottoms[0].shape)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        self.judge_wanted(wanted)
        if not wanted[0]:
            return [None, None]
        likely, classes, shape = self._kept
        labels = self._labels
        diff = likely.new_zeros(labels.outer, labels.classes, 1)
        diff.scatter_(1, classes, (diffs[0].reshape(()) / -labels.outer) / likely)
        return [diff.view(shape), None]
