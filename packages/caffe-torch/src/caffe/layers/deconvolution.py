"""Deconvolution: a Convolution with its forward and the gradient of its bottom exchanged.

y has stride · (size - 1) + reach - 2 · pad places an axis. Learnable blobs: weights
(C, num_output / group, kernel …), then bias (num_output,). Fields, axes and layout as
Convolution's.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe.layers.base import Shape
from caffe.layers.convolution import Convolution


class Deconvolution(Convolution):
    kind = "Deconvolution"
    transposed = True

    def sizes(self, sizes: Sequence[int]) -> Shape:
        made = self._window
        rows = zip(sizes, made.reach, made.stride, made.pad, strict=True)
        return tuple(stride * (size - 1) + reach - 2 * pad for size, reach, stride, pad in rows)
