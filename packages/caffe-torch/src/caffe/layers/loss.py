"""What the loss layers share: a scalar top, labels without gradients, and normalisation.

A loss sums over samples (and places of an image) and divides by a normaliser:

    FULL        all labels
    VALID       the labels that are not ignored
    BATCH_SIZE  the first dimensions' product, up to the class axis
    NONE        1

and never by less than 1, so a batch of nothing but ignored labels costs 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch

from caffe.errors import DataError
from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.proto import caffe_pb2

FLT_MIN = torch.finfo(torch.float32).tiny
"""The least probability that has a logarithm, in Caffe also for double."""
LOG_THRESHOLD = 1e-20
"""The same for the losses of given or weighted probabilities."""
_pb2: Any = caffe_pb2
_MODES = _pb2.LossParameter
BATCH_SIZE: int = _MODES.BATCH_SIZE


class Loss(Layer):
    """A layer whose first top is a number to be made small.

    ``diffs[0]`` is the loss weight. ``without_gradient`` are the bottoms that no gradient can
    reach, with the word for them.
    """

    bottoms = (2, 2)
    is_loss = True
    auto_tops = True
    without_gradient: ClassVar[dict[int, str]] = {1: "label"}

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        first, second = bottoms[0], bottoms[1]
        if not first or not second or first[0] != second[0]:
            raise self.misfit(
                f"the data has shape {text(first)} and the label {text(second)}",
                allowed="the same first dimension",
            )
        return [()]

    def may_force_backward(self, bottom: int) -> bool:
        return bottom not in self.without_gradient

    def judge_wanted(self, wanted: Sequence[bool]) -> None:
        """Raises DefinitionError where a gradient to a label is wanted."""
        for index, word in self.without_gradient.items():
            if index < len(wanted) and wanted[index]:
                raise self.refuse(
                    f'cannot backpropagate to {word} inputs, and bottom "{self.bottom_name(index)}"'
                    " is computed by learnable layers",
                    next_step="give it from a data layer, or say propagate_down: false for it",
                )

    def bottom_name(self, index: int) -> str:
        return str(self.param.bottom[index]) if index < len(self.param.bottom) else f"{index}"


class ClassLabels:
    """Which class each place of a batch belongs to.

    Scores are seen as outer × classes × inner, labels as outer × inner. Labels are cut to whole
    numbers, as Caffe does. A label that is no class is refused: on the CPU always, with its value;
    on CUDA with its value in the first forward, later by the device's own assertion, so that the
    host need not wait for the device in each iteration. Caffe reads foreign memory there.
    """

    def __init__(self, layer: Layer, ignore: int | None) -> None:
        self._layer = layer
        self._ignore = ignore
        self._looked = False
        self.axis, self.outer, self.classes, self.inner = 1, 1, 1, 1

    def reshape(self, scores: Shape, labels: Shape, axis: int) -> None:
        """Raises ShapeError where the label count is not outer × inner."""
        layer = self._layer
        axis = layer.axis(axis, scores)
        self.axis = axis
        self.outer = math.prod(scores[:axis])
        self.classes = scores[axis]
        self.inner = math.prod(scores[axis + 1 :])
        if self.outer * self.inner != math.prod(labels):
            raise layer.misfit(
                f"{math.prod(labels)} labels (shape {text(labels)}) for predictions of shape "
                f"{text(scores)} with the classes on axis {axis}",
                allowed=f"{self.outer * self.inner} labels with integer values",
            )

    def softmax(self, scores: Tensor) -> Tensor:
        """Probabilities over the class axis, as outer × classes × inner."""
        return self.spread(torch.softmax(scores, self.axis))

    def spread(self, scores: Tensor) -> Tensor:
        """``scores`` as outer × classes × inner."""
        return scores.reshape(self.outer, self.classes, self.inner)

    def read(self, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """The classes (int64, outer × 1 × inner; 0 where ignored), and where a label is ignored
        (None: nowhere). They may still be out of range, which :meth:`pick` finds."""
        classes = labels.reshape(self.outer, 1, self.inner).long()
        if self._ignore is None:
            return classes, None
        ignored = classes == self._ignore
        return classes.masked_fill(ignored, 0), ignored

    def pick(self, scores: Tensor, classes: Tensor) -> Tensor:
        """Of outer × classes × inner scores those of the true classes, outer × 1 × inner.

        Raises DataError for a label that is no class.
        """
        return self._guarded(classes, lambda: scores.gather(1, classes))

    def rows(self, matrix: Tensor, classes: Tensor) -> Tensor:
        """The rows of a classes × n matrix for the true classes, outer × n × inner.

        Raises DataError for a label that is no class.
        """
        rows = self._guarded(classes, lambda: matrix.index_select(0, classes.flatten()))
        return rows.view(self.outer, self.inner, -1).transpose(1, 2)

    def _guarded(self, classes: Tensor, look_up: Callable[[], Tensor]) -> Tensor:
        if not self._looked and classes.device.type != "cpu":
            self.judge(classes)
        self._looked = True
        try:
            return look_up()
        except (IndexError, RuntimeError):
            if classes.device.type == "cpu":
                self.judge(classes)
            raise

    def judge(self, classes: Tensor) -> None:
        """Raises DataError for the first label that is no class."""
        wrong = ((classes < 0) | (classes >= self.classes)).flatten().nonzero()
        if not len(wrong):
            return
        place = int(wrong[0])
        layer = self._layer
        raise DataError(
            f'layer "{layer.name}" ({layer.kind}): label {int(classes.flatten()[place])} of sample '
            f"{place // self.inner} is no class of the {self.classes} that are predicted",
            allowed=f"0 to {self.classes - 1}"
            + (f", or ignore_label {self._ignore}" if self._ignore is not None else ""),
            next_step="mend the labels, or the num_output of the layer that predicts",
        )


def normalization(loss_param: Any, default: int = _MODES.VALID) -> int:
    """The mode of a LossParameter: ``normalization``, else the old ``normalize``, else
    ``default``."""
    if loss_param.HasField("normalization"):
        return int(loss_param.normalization)
    if loss_param.HasField("normalize"):
        return int(_MODES.VALID if loss_param.normalize else _MODES.BATCH_SIZE)
    return int(default)


def normalizer(mode: int, outer: int, inner: int, ignored: Tensor | None) -> Tensor | float:
    """What a loss is divided by: at least 1; a tensor only where labels have to be counted."""
    if mode == _MODES.VALID and ignored is not None:
        return (outer * inner - ignored.sum()).clamp_min(1)
    if mode == _MODES.NONE:
        return 1.0
    return float(max(1, outer if mode == _MODES.BATCH_SIZE else outer * inner))


def ignore_label(loss_param: Any) -> int | None:
    """The ignore_label of a LossParameter, if it has one."""
    return int(loss_param.ignore_label) if loss_param.HasField("ignore_label") else None
