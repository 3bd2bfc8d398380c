"""Pooling: the largest (MAX), the average (AVE) or a drawn (STOCHASTIC) value of a window over the
last two axes.

A bottom is N×C×H×W. The number of windows is rounded up (``round_mode: FLOOR``: down); with
padding, a last window that would begin beyond the bottom and its front padding is dropped. An
average is divided by the part of the window inside the padded bottom. A second top of MAX is the
mask: where in its H×W plane each value came from.

Where torch does the same, torch does it. Explicit padding does the rest: padding of more than half
a kernel, and windows that lie wholly beyond the bottom, which Caffe keeps when the stride is
larger than the kernel and nothing is padded: MAX gives -FLT_MAX and mask -1 there, AVE 0/0.

Differs from Caffe: such an empty MAX window sends no gradient (Caffe writes it in front of the
plane, into its neighbour); MAX passes NaN on (Caffe skips it). ``engine`` chooses an implementation
in Caffe and nothing here.

STOCHASTIC is for GPUs, as in Caffe, whose first forward aborts on a CPU: there it is refused. Its
formula is in :mod:`caffe.layers.stochastic_pooling`. The draws come from torch's generator. In TEST
it sends no gradient; Caffe's backward reads choices that were never made there, and all but the
bottom's first element get none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from caffe.layers import stochastic_pooling as stochastic
from caffe.layers.base import TRAIN, Layer, Shape, Tensor, text
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2
MAX: int = _pb2.PoolingParameter.MAX
AVE: int = _pb2.PoolingParameter.AVE
STOCHASTIC: int = _pb2.PoolingParameter.STOCHASTIC
FLOOR: int = _pb2.PoolingParameter.FLOOR
LOWEST = -3.4028234663852886e38
"""-FLT_MAX: where Caffe's search for the largest value begins."""

Pair = tuple[int, int]

_max = torch.ops.aten.max_pool2d_with_indices.default
_max_backward = torch.ops.aten.max_pool2d_with_indices_backward.default
_average = torch.ops.aten.avg_pool2d.default
_average_backward = torch.ops.aten.avg_pool2d_backward.default


class Pooling(Layer):
    kind = "Pooling"
    tops = (1, 2)
    reads_tops = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.pooling_param
        self._global: bool = param.global_pooling
        self._method: int = param.pool
        self._ceil = param.round_mode != FLOOR
        self._masked = len(self.param.top) > 1
        if self._method == STOCHASTIC and not self.context.on_gpu:
            raise self.refuse(
                "pool: STOCHASTIC is not implemented on a CPU",
                allowed="MAX, AVE; on a GPU also STOCHASTIC",
                next_step="use AVE, or train on a GPU",
            )
        if self._masked and self._method != MAX:
            raise self.refuse(
                "has a second top, which is a mask", allowed="a second top with pool: MAX"
            )
        self._pad = self._pair("pad", 0)
        if self._method == STOCHASTIC and any(self._pad):
            raise self.refuse(
                f"has pool: STOCHASTIC and pad {text(self._pad)}", allowed="a pad with MAX or AVE"
            )
        self._stride = self._pair("stride", 1)
        if 0 in self._stride:
            raise self.refuse(f"stride is {text(self._stride)}", allowed="1 or more")
        if self._global:
            if any(param.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
                raise self.refuse("has global_pooling and a kernel size", allowed="one of the two")
            if any(self._pad) or self._stride != (1, 1):
                raise self.refuse(
                    f"has global_pooling, pad {text(self._pad)} and stride {text(self._stride)}",
                    allowed="pad 0 and stride 1 with global_pooling",
                )
            return
        self._kernel = self._pair("kernel_size", 0)
        if 0 in self._kernel:
            raise self.refuse(
                f"kernel is {text(self._kernel)}",
                allowed="1 or more",
                next_step="give kernel_size, kernel_h and kernel_w, or global_pooling: true",
            )
        if any(pad >= kernel for pad, kernel in zip(self._pad, self._kernel, strict=True)):
            raise self.refuse(
                f"pad {text(self._pad)} is not smaller than kernel {text(self._kernel)}",
                allowed="a pad smaller than the kernel",
            )

    def _pair(self, name: str, default: int) -> Pair:
        """A field that is given once or as ``_h`` and ``_w``."""
        param = self.param.pooling_param
        short = name.removesuffix("_size")
        tall, wide = f"{short}_h", f"{short}_w"
        parts = param.HasField(tall) + param.HasField(wide)
        if parts == 0:
            once = getattr(param, name) if param.HasField(name) else default
            return once, once
        if param.HasField(name) or parts == 1:
            raise self.refuse(
                f"has {name}, {tall} or {wide} in a mix", allowed=f"{name}, or {tall} and {wide}"
            )
        return getattr(param, tall), getattr(param, wide)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        if len(shape) != 4:
            raise self.misfit(f"a bottom has shape {text(shape)}", allowed="N×C×H×W, four axes")
        self._plane = (shape[2], shape[3])
        if self._global:
            self._kernel = self._plane
        found = self._windows(0), self._windows(1)
        if min(found) < 1:
            raise self.misfit(
                f"kernel {text(self._kernel)} with pad {text(self._pad)} does not fit into a "
                f"bottom of shape {text(shape)}",
                next_step="make the kernel smaller or the bottom larger",
            )
        self._extent = tuple(
            (count - 1) * stride + kernel
            for count, stride, kernel in zip(found, self._stride, self._kernel, strict=True)
        )
        self._explicit = any(
            2 * pad > kernel or (count - 1) * stride >= size + pad
            for pad, kernel, count, stride, size in zip(
                self._pad, self._kernel, found, self._stride, self._plane, strict=True
            )
        )
        self._found = found
        if self._method == STOCHASTIC:
            self._grid = stochastic.Grid(self._plane, self._kernel, self._stride, found)
        top = (shape[0], shape[1], *found)
        return [top, top] if self._masked else [top]

    def _windows(self, axis: int) -> int:
        size, kernel, stride, pad = (
            pair[axis] for pair in (self._plane, self._kernel, self._stride, self._pad)
        )
        steps = (size + 2 * pad - kernel) / stride
        count = (math.ceil(steps) if self._ceil else math.floor(steps)) + 1
        if any(self._pad) and (count - 1) * stride >= size + pad:
            count -= 1
        return count

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        if self._method == STOCHASTIC:
            return [self._stochastic(x)]
        pad, ceil = self._pad, self._ceil
        if self._explicit:
            value = LOWEST if self._method == MAX else 0.0
            x = torch.nn.functional.pad(x, self._sides(), value=value)
            pad, ceil = (0, 0), False
        self._how = (self._kernel, self._stride, pad)
        self._x, self._rounds_up = x, ceil
        if self._method == AVE:
            if not self._explicit:
                return [_average(x, *self._how, ceil)]
            return [_average(x, *self._how, False, True, 1) / self._divisors(x)]
        y, self._where = _max(x, *self._how, (1, 1), ceil)
        return [y, self._mask(y)] if self._masked else [y]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        if not self._masked:
            return
        where = tops[1].long()
        if self._explicit:
            row = where.div(self._plane[1], rounding_mode="floor") + self._pad[0]
            column = where % self._plane[1] + self._pad[1]
            # No place in the bottom: the window lies in the padding.
            where = torch.where(where < 0, self._where, row * self._extent[1] + column)
        self._where = where

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        if self._method == STOCHASTIC:
            return [self._stochastic_gradient(diffs[0])]
        diff, x, ceil = diffs[0], self._x, self._rounds_up
        if self._method == MAX:
            gradient = _max_backward(diff, x, *self._how, (1, 1), ceil, self._where)
        elif self._explicit:
            diff = diff / self._divisors(x)
            gradient = _average_backward(diff, x, *self._how, False, True, 1)
        else:
            gradient = _average_backward(diff, x, *self._how, ceil, True, None)
        if self._explicit:
            gradient = torch.nn.functional.pad(gradient, [-side for side in self._sides()])
        return [gradient]

    def _stochastic(self, x: Tensor) -> Tensor:
        """N×C×h×w of N×C×H×W; keeps the choice that TRAIN draws."""
        self._outer = x.shape[:2]
        windows = stochastic.unfolded(x, self._grid)
        if self.phase != TRAIN:
            return stochastic.expected(windows)
        draws = torch.empty((*self._outer, *self._found), dtype=x.dtype, device=x.device)
        draws.uniform_(generator=self.context.random.generator(x.device))
        # torch draws from [0, 1), cuRAND from (0, 1]. At 0 a leading zero would be chosen.
        draws = 1 - draws
        last = stochastic.last_places(self._grid, x.device)
        self._choice = stochastic.chosen(windows, draws, last)
        return stochastic.picked(windows, self._choice)

    def _stochastic_gradient(self, diff: Tensor) -> Tensor:
        """N×C×H×W of the top's N×C×h×w."""
        if self.phase != TRAIN:
            return diff.new_zeros((*self._outer, *self._plane))
        return stochastic.gradient(diff, self._choice, self._grid)

    def _sides(self) -> list[int]:
        """Padding to exactly what the windows cover, as torch's pad wants it."""
        return [
            side
            for axis in (1, 0)
            for side in (self._pad[axis], self._extent[axis] - self._plane[axis] - self._pad[axis])
        ]

    def _divisors(self, x: Tensor) -> Tensor:
        """For each window, its size inside the padded bottom; Caffe's, so never above zero for
        empty ones."""
        rows, columns = [
            torch.tensor(
                [
                    min(place * stride + kernel, size + 2 * pad) - place * stride
                    for place in range(count)
                ],
                dtype=x.dtype,
                device=x.device,
            )
            for count, stride, kernel, size, pad in zip(
                self._found, self._stride, self._kernel, self._plane, self._pad, strict=True
            )
        ]
        divisors: Tensor = torch.outer(rows, columns)
        return divisors

    def _mask(self, y: Tensor) -> Tensor:
        where: Tensor = self._where
        if self._explicit:
            row = where.div(self._extent[1], rounding_mode="floor") - self._pad[0]
            column = where % self._extent[1] - self._pad[1]
            inside = (row >= 0) & (row < self._plane[0]) & (column >= 0)
            inside &= column < self._plane[1]
            where = torch.where(inside, row * self._plane[1] + column, -1)
        return where.to(y.dtype)
