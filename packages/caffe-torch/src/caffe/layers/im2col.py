"""Im2col: each place of a convolution's window as a column, C · kernel values along ``axis``.

The top has the axes of the bottom: its channels are those of the bottom times the kernel's size
(channel first, then the kernel's axes), its spatial sizes the number of places. Any number of
spatial axes, by strided views; torch's unfold knows two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.layers.windows import window


class Im2col(Layer):
    kind = "Im2col"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.convolution_param
        self._axis = self.axis(param.axis, bottoms[0])
        self._first = bottoms[0]
        self._window = window(self, param, len(bottoms[0]) - self._axis - 1)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape, made = bottoms[0], self._window
        if len(shape) != len(self._first):
            raise self.misfit(
                f"a bottom of shape {text(shape)} came after one of shape {text(self._first)}",
                allowed="the same number of axes",
            )
        sizes = shape[self._axis + 1 :]
        places = made.places(sizes)
        if any(count < 1 for count in places):
            raise self.misfit(
                f"kernel {text(made.kernel)} with pad {text(made.pad)} and dilation "
                f"{text(made.dilation)} does not fit into a bottom of shape {text(shape)}",
                next_step="make the kernel smaller or the bottom larger",
            )
        pairs = zip(made.pad, made.overhang(sizes), strict=True)
        self._sides = [side for pad, extra in reversed(list(pairs)) for side in (pad, pad + extra)]
        channels = shape[self._axis] * math.prod(made.kernel)
        self._top = (*shape[: self._axis], channels, *places)
        return [self._top]

    def compute(self, bottoms: list[Tensor], params: list[Tensor]) -> list[Tensor]:
        made = self._window
        x = torch.nn.functional.pad(bottoms[0], self._sides) if any(self._sides) else bottoms[0]
        axes = range(self._axis + 1, x.dim())
        for axis, reach, stride, step in zip(
            axes, made.reach, made.stride, made.dilation, strict=True
        ):
            x = x.unfold(axis, reach, stride)[..., ::step]
        spatial = len(made.kernel)
        first = self._axis + 1
        order = [*range(first), *range(first + spatial, x.dim()), *range(first, first + spatial)]
        return [x.permute(order).reshape(self._top)]
