"""Convolution: y[n, o] = bias[o] + Σ over c, window of weight[o, c] · x[n, c], as a correlation.

Learnable blobs: weights (num_output, C / group, kernel …), then bias (num_output,). Axes before
``axis`` are all batch; several bottoms of one shape share the weights. ``engine`` and
``force_nd_im2col`` choose an implementation in Caffe and nothing here. Differs from Caffe: at most
three spatial axes.

Layout on the CPU, in float32 with two spatial axes: channels last. Milliseconds, forward and
backward on two threads, NCHW against channels last (weights are converted each time):

    LeNet, batch 64            5×5 20→50 7.2  4.6
                               5×5 1→20 1.0  1.0, the pooling after it 2.1  0.3
    CIFAR-10 quick, batch 100  5×5 32→32 16.8  16.2
    GoogLeNet, batch 4         1×1 192→64 at 28×28 1.6  1.3    1×1 512→128 at 14×14 2.1  1.8
                               3×3 within 3 %    7×7 10.4  11.9
    CaffeNet, batch 4          conv1 to conv5 within 5 %
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.layers.windows import window

_convolution = torch.ops.aten.convolution.default
_backward = torch.ops.aten.convolution_backward.default


class Convolution(Layer):
    kind = "Convolution"
    reads_bottoms = True
    bottoms = (1, None)
    tops = (1, None)
    as_many_tops_as_bottoms = True

    transposed = False
    """Deconvolution swaps forward and the bottom's gradient."""

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.convolution_param
        first = bottoms[0]
        self._first = first
        self._axis = self.axis(param.axis, first)
        self._spatial = len(first) - self._axis - 1
        if self._spatial > 3:
            raise self.refuse(
                f"has {self._spatial} spatial axes in a bottom of shape {text(first)}",
                allowed="at most 3",
            )
        self._window = window(self, param, self._spatial)
        channels, outputs, group = first[self._axis], param.num_output, param.group
        if outputs < 1:
            raise self.refuse("num_output is 0", allowed="1 or more")
        if group < 1 or channels % group or outputs % group:
            raise self.refuse(
                f"group {group} does not divide {channels} channels of a bottom of shape "
                f"{text(first)} and num_output {outputs}",
                allowed="a number that divides both",
            )
        if self.transposed:
            weights = (channels, outputs // group, *self._window.kernel)
        else:
            weights = (outputs, channels // group, *self._window.kernel)
        self._outputs = outputs
        self._group = group
        self._bias = param.bias_term
        self.add_learnable(weights, param.weight_filler)
        if self._bias:
            self.add_learnable((outputs,), param.bias_filler)
        self._kept: list[Tensor] = []

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        first = bottoms[0]
        if len(first) != len(self._first) or first[self._axis] != self._first[self._axis]:
            raise self.misfit(
                f"a bottom of shape {text(first)} came after one of shape {text(self._first)}, "
                f"for which the weights of shape {text(self.learnable[0].shape)} were made",
                allowed="another batch or spatial size; the same channels and number of axes",
            )
        for other in bottoms[1:]:
            if other != first:
                raise self.misfit(
                    f"bottoms of shapes {text(first)} and {text(other)} share the weights",
                    allowed="bottoms of one shape",
                )
        sizes = first[self._axis + 1 :]
        found = self.sizes(sizes)
        if any(size < 1 for size in found):
            raise self.misfit(
                f"kernel {text(self._window.kernel)} with pad {text(self._window.pad)} and "
                f"dilation {text(self._window.dilation)} does not fit into a bottom of shape "
                f"{text(first)}",
                next_step="make the kernel smaller or the bottom larger",
            )
        overhang = (0,) * self._spatial if self.transposed else self._window.overhang(sizes)
        self._overhang = [side for extra in reversed(overhang) for side in (0, extra)]
        self._geometry(sizes)
        self._top = (*first[: self._axis], self._outputs, *found)
        return [self._top] * len(bottoms)

    def sizes(self, sizes: Sequence[int]) -> Shape:
        """The tops' spatial sizes for the bottoms'."""
        return self._window.places(sizes)

    def _geometry(self, sizes: Sequence[int]) -> None:
        """What torch wants to hear in this shape; a bottom without spatial axes gets one of 1."""
        made = self._window
        zeros = [0] * max(self._spatial, 1)
        if self._spatial:
            stride, pad, dilation = list(made.stride), list(made.pad), list(made.dilation)
        else:
            stride, pad, dilation = [1], [0], [1]
        self._how = (stride, pad, dilation, self.transposed, zeros, self._group)
        self._batched = (-1, self._first[self._axis], *(sizes or (1,)))
        self._plain = self._axis == 1 and self._spatial > 0 and not any(self._overhang)

    def _like_torch(self, x: Tensor) -> Tensor:
        """Batch, channels and spatial axes, in the layout that is fast."""
        if not self._plain:
            x = x.reshape(self._batched)
            if any(self._overhang):
                x = torch.nn.functional.pad(x, self._overhang)
        if x.dim() == 4 and x.device.type == "cpu" and x.dtype == torch.float32:
            return _channels_last(x)
        return x.contiguous()

    def _weights(self, x: Tensor) -> Tensor:
        weights = self.learnable[0].data
        if not self._spatial:
            weights = weights.unsqueeze(-1)
        if x.dim() == 4 and x.stride(1) == 1:
            return _channels_last(weights)
        return weights

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        inputs = [self._like_torch(bottom) for bottom in bottoms]
        self._kept = inputs if self.wants_backward else []
        weights = self._weights(inputs[0])
        bias = self.learnable[1].data if self._bias else None
        tops = [_convolution(x, weights, bias, *self._how) for x in inputs]
        return [top.reshape(self._top) for top in tops]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        if self._kept:
            self._kept = [self._like_torch(bottom) for bottom in bottoms]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if len(self._kept) != len(diffs):
            raise self.refuse("backward comes before forward")
        learns = [self.learns[0], self._bias and self.learns[1]]
        sizes = [self._outputs] if self._bias else None
        found: list[Tensor | None] = []
        weights = self._weights(self._kept[0])
        for diff, x, want in zip(diffs, self._kept, wanted, strict=True):
            top = diff if self._plain else diff.reshape(-1, *self._top_of(x))
            mask = [want, *learns]
            if not any(mask):
                found.append(None)
                continue
            to_x, to_weights, to_bias = _backward(top, x, weights, sizes, *self._how, mask)
            for index, gradient in enumerate((to_weights, to_bias)):
                if learns[index]:
                    self.add_gradient(index, gradient)
            found.append(self._bottom_gradient(to_x, diff) if want else None)
        return found

    def _top_of(self, x: Tensor) -> Shape:
        return (self._outputs, *(self._top[self._axis + 1 :] or (1,)))

    def _bottom_gradient(self, gradient: Tensor, diff: Tensor) -> Tensor:
        if any(self._overhang):
            gradient = torch.nn.functional.pad(gradient, [-side for side in self._overhang])
        if self._plain:
            return gradient
        leading = diff.shape[: self._axis]
        return gradient.reshape(*leading, *self._batched[1:][: 1 + self._spatial])


def _channels_last(x: Tensor) -> Tensor:
    """``x`` in channels last; with one channel, where both layouts are the same bytes, by its
    strides, for these decide the layout of the top."""
    if x.shape[1] == 1 and x.is_contiguous():
        _, _, height, width = x.shape
        return x.as_strided(x.shape, (height * width, 1, width, 1))
    return x.contiguous(memory_format=torch.channels_last)
