"""SoftmaxWithLoss: the mean of −log(softmax(x)[label]); a second top has the probabilities.

A probability below FLT_MIN counts as FLT_MIN, so a sample costs 87.34 at most (torch's
cross_entropy has no such bound). The gradient is (p − [label]) · weight / normaliser all the
same, 0 for ignored labels, and nothing comes back through the second top.

Caffe 1.0 has the second top in its code but aborts on it: its inner softmax layer wants as many
loss weights as it has tops. Here it works.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe.layers.base import Shape, Tensor
from caffe.layers.loss import FLT_MIN, ClassLabels, Loss, ignore_label, normalization, normalizer


class SoftmaxWithLoss(Loss):
    kind = "SoftmaxWithLoss"
    reads_bottoms = True
    tops = (1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._axis = self.param.softmax_param.axis
        self._mode = normalization(self.param.loss_param)
        self._labels = ClassLabels(self, ignore_label(self.param.loss_param))
        self._two_tops = len(self.param.top) > 1

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        self._labels.reshape(bottoms[0], bottoms[1], self._axis)
        return [*tops, bottoms[0]] if self._two_tops else tops

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        labels = self._labels
        prob = labels.softmax(bottoms[0])
        classes, ignored = labels.read(bottoms[1])
        likelihood = labels.pick(prob, classes).clamp_min(FLT_MIN).log_()
        if ignored is not None:
            likelihood.masked_fill_(ignored, 0)
        scale = normalizer(self._mode, labels.outer, labels.inner, ignored)
        self._kept = (prob, classes, ignored, scale, bottoms[0].shape)
        loss = likelihood.sum().div_(scale).neg_()
        return [loss, prob.view(bottoms[0].shape)] if self._two_tops else [loss]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        prob, _, _, _, shape = self._kept
        labels = self._labels
        classes, ignored = labels.read(bottoms[1])
        labels.judge(classes)
        scale = normalizer(self._mode, labels.outer, labels.inner, ignored)
        self._kept = (prob, classes, ignored, scale, shape)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        self.judge_wanted(wanted)
        if not wanted[0]:
            return [None, None]
        prob, classes, ignored, normal, shape = self._kept
        scale = diffs[0].reshape(()) / normal
        diff = prob * scale
        diff.scatter_add_(1, classes, (-scale).expand(classes.shape))
        if ignored is not None:
            diff.masked_fill_(ignored, 0)
        return [diff.view(shape), None]
