"""InfogainLoss: the mean of −Σ_k H[label, k] · log(softmax(x)[k]).

H, classes × classes, is the third bottom, or is read from the file ``source`` (a binary
BlobProto). A second top has the probabilities. A probability below 1e-20 counts as 1e-20. The
gradient is p · Σ_k H[label, k] − H[label] all the same; there is none to H.

With force_backward and H as a bottom Caffe aborts; here force_backward does not reach H.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from google.protobuf.message import DecodeError

from caffe import blobproto
from caffe.errors import DataError
from caffe.layers.base import Shape, Tensor, text
from caffe.layers.loss import (
    LOG_THRESHOLD,
    ClassLabels,
    Loss,
    ignore_label,
    normalization,
    normalizer,
)
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2


class InfogainLoss(Loss):
    kind = "InfogainLoss"
    reads_bottoms = True
    reads_tops = True
    bottoms = (2, 3)
    tops = (1, 2)
    without_gradient: ClassVar[dict[int, str]] = {1: "label", 2: "infogain"}

    def setup(self, bottoms: Sequence[Shape]) -> None:
        if self.param.loss_param.HasField("normalize"):
            raise self.refuse(
                "has loss_param { normalize }, which this type never had",
                allowed="loss_param { normalization: FULL, VALID, BATCH_SIZE or NONE }",
            )
        self._mode = normalization(self.param.loss_param)
        self._labels = ClassLabels(self, ignore_label(self.param.loss_param))
        self._two_tops = len(self.param.top) > 1
        self._matrix = None if len(bottoms) > 2 else self._read_matrix()

    def _read_matrix(self) -> Tensor:
        source = self.param.infogain_loss_param.source
        if not source:
            raise self.refuse(
                "has no infogain matrix",
                next_step="give it as third bottom, or a file by infogain_loss_param { source }",
            )
        proto = _pb2.BlobProto()
        try:
            proto.ParseFromString(Path(source).read_bytes())
        except (OSError, DecodeError) as error:
            raise DataError(
                f'layer "{self.name}" ({self.kind}): the infogain matrix "{source}" cannot be '
                f"read: {error}",
                allowed="a file with a binary BlobProto",
            ) from error
        return torch.from_numpy(blobproto.numbers(proto)).to(self.context.device)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        tops = super().reshape(bottoms)
        labels = self._labels
        labels.reshape(bottoms[0], bottoms[1], self.param.infogain_loss_param.axis)
        shape = tuple(self._matrix.shape) if self._matrix is not None else bottoms[2]
        if math.prod(shape) != labels.classes**2:
            raise self.misfit(
                f"the infogain matrix has {math.prod(shape)} numbers (shape {text(shape)})",
                allowed=f"{labels.classes**2}, for {labels.classes} classes",
            )
        return [*tops, bottoms[0]] if self._two_tops else tops

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        labels = self._labels
        prob = labels.softmax(bottoms[0])
        gain, scale = self._gain(bottoms)
        self._kept = (prob, gain, scale, bottoms[0].shape)
        loss = (gain * prob.clamp_min(LOG_THRESHOLD).log_()).sum().div_(scale).neg_()
        return [loss, prob.view(bottoms[0].shape)] if self._two_tops else [loss]

    def _gain(self, bottoms: list[Tensor]) -> tuple[Tensor, Tensor | float]:
        """The matrix' rows of the true classes (outer × classes × inner), and what the loss is
        divided by."""
        labels = self._labels
        classes, ignored = labels.read(bottoms[1])
        matrix = bottoms[2] if self._matrix is None else self._matrix.to(bottoms[0].dtype)
        gain = labels.rows(matrix.reshape(labels.classes, labels.classes), classes)
        if ignored is not None:
            gain = gain.masked_fill(ignored, 0)
        return gain, normalizer(self._mode, labels.outer, labels.inner, ignored)

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        prob, _, _, shape = self._kept
        if self._two_tops:
            prob = self._labels.spread(tops[1])
        self._kept = (prob, *self._gain(bottoms), shape)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        self.judge_wanted(wanted)
        none: list[Tensor | None] = [None] * len(wanted)
        if not wanted[0]:
            return none
        prob, gain, normal, shape = self._kept
        diff = (prob * gain.sum(1, keepdim=True)).sub_(gain).mul_(diffs[0].reshape(()) / normal)
        return [diff.reshape(shape), *none[1:]]
