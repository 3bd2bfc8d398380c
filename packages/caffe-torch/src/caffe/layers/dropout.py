"""Dropout: in TRAIN y = x · mask / (1 − dropout_ratio), the mask drawn anew in each forward.

In TEST it is the identity. On the CPU the mask is Caffe's own: one draw for each element of the
array, in its logical order, from the stream that ``random_seed`` starts. On other devices it comes
from torch's generator. A ratio of 1 gives 0 · infinity = NaN everywhere, as in Caffe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import TRAIN, Layer, Shape, Tensor


class Dropout(Layer):
    kind = "Dropout"
    in_place = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        ratio: float = self.param.dropout_param.dropout_ratio
        # Caffe aborts in the first forward of TRAIN, and only there.
        if self.phase == TRAIN and not 0 <= ratio <= 1:
            raise self.refuse(f"dropout_param.dropout_ratio is {ratio:g}", allowed="0 to 1")
        self._keep = 1 - ratio
        self._scale = 1 / self._keep if self._keep else math.inf
        self._mask: Tensor | None = None

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        if self.phase != TRAIN:
            return [x]
        self._mask = self._draw(x)
        return [x * self._mask]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        if self.phase != TRAIN:
            return [diffs[0]]
        if self._mask is None:
            raise self.refuse("backward comes before forward")
        return [diffs[0] * self._mask]

    def _draw(self, x: Tensor) -> Tensor:
        """0 where an element is dropped, else the scale; in the shape and type of ``x``."""
        if x.device.type == "cpu":
            drawn = self.context.random.bernoulli(x.numel(), self._keep)
            mask = torch.from_numpy(drawn).reshape(x.shape).to(x.dtype)
        else:
            generator = self.context.random.generator(x.device)
            mask = torch.empty_like(x).bernoulli_(self._keep, generator=generator)
        return mask.mul_(self._scale)
