"""Silence: takes blobs and gives none, so that they are no outputs of the net. Gradients are 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor


class Silence(Layer):
    kind = "Silence"
    bottoms = (1, None)
    tops = (0, 0)
    _bottoms: Sequence[Tensor] = ()

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return []

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._bottoms = bottoms
        return []

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not self._bottoms:
            raise self.refuse("backward comes before forward")
        return [
            torch.zeros_like(bottom) if want else None
            for bottom, want in zip(self._bottoms, wanted, strict=True)
        ]
