"""BatchNorm: y = (x - mean) / sqrt(variance + eps), a channel (axis 1) at a time.

Learnable blobs, all three zero at first and never learned: the sum S of means (C,), the sum of
variances (C,), and the factor f (1,) that both are divided by when they are used. While training,
a forward normalises with the batch's own mean and biased variance and then takes
S := fraction · S + mean, the variances likewise with m / (m - 1) for m values a channel (1 where
m = 1), and f := fraction · f + 1. With ``use_global_stats`` (by default in TEST) it normalises with
the sums divided by f, or with zeros where f is 0.

torch's batch_norm keeps a running average in place of the sums; its kernels do the rest. On a CPU
they compute x · a + b where Caffe subtracts first, so last digits differ where the mean is much
larger than the deviation; one value a channel gives Caffe's exact zero here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from caffe.layers.base import TEST, Layer, Shape, Tensor, text
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2
_forward = torch.ops.aten.native_batch_norm.default
_backward = torch.ops.aten.native_batch_norm_backward.default


class BatchNorm(Layer):
    kind = "BatchNorm"
    copies_bottoms = True
    in_place = True
    forced_lr_mult: ClassVar[float | None] = 0.0
    """The lr_mult of every learnable blob that the definition gives no ``param``."""

    _x: Tensor | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.batch_norm_param
        self._eps: float = param.eps
        self._fraction: float = param.moving_average_fraction
        self._global: bool = self.phase == TEST
        if param.HasField("use_global_stats"):
            self._global = param.use_global_stats
        for spec in self.param.param[:3]:
            if spec.lr_mult != 0:
                raise self.refuse(
                    f"a param has lr_mult {spec.lr_mult:g}, but statistics are not learned",
                    allowed="lr_mult: 0",
                    next_step="leave the params out",
                )
        self._first = bottoms[0]
        self._check(bottoms[0])
        channels = bottoms[0][1]
        for size in (channels, channels, 1):
            self.add_learnable((size,), _pb2.FillerParameter())
        self.learns = [False] * 3

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._check(bottoms[0])
        return [bottoms[0]]

    def _check(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise self.misfit(
                f"a bottom has shape {text(shape)}", allowed="channels in axis 1, so two axes"
            )
        if shape[1] != self._first[1]:
            raise self.misfit(
                f"a bottom of shape {text(shape)} came after one of shape {text(self._first)}",
                allowed=f"{self._first[1]} channels in axis 1",
            )

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        means, variances, factor = (blob.data for blob in self.learnable)
        if self._global:
            scale = torch.where(factor == 0, 0.0, factor.reciprocal())
            mean, variance = means * scale, variances * scale
            y, _, _ = _forward(x, None, None, mean, variance, False, 0.0, self._eps)
            self._statistics = (variance.add_(self._eps).rsqrt_(),)
        else:
            count = math.prod(x.shape) // x.shape[1]
            mean, variance = torch.zeros_like(means), torch.zeros_like(variances)
            y, *kept = _forward(x, None, None, mean, variance, True, 1.0, self._eps)
            self._statistics = tuple(kept)
            factor.mul_(self._fraction).add_(1)
            means.mul_(self._fraction).add_(mean)
            variances.mul_(self._fraction)
            if count > 1:
                variances.add_(variance)
            else:
                y = torch.zeros_like(x)
        self._x = x if self.wants_backward else None
        return [y]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        diff, x = diffs[0], self._x
        if x is None:
            raise self.refuse("backward comes before forward")
        if self._global:
            (factor,) = self._statistics
            return [diff * factor.view(-1, *(1,) * (x.dim() - 2))]
        mask = [True, False, False]
        kept = self._statistics
        return [_backward(diff, x, None, None, None, *kept, True, self._eps, mask)[0]]
