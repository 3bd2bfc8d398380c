"""Split: every top is the bottom; its gradient is the sum of theirs.

The net puts it in where several layers read one blob. Nothing is copied, and a top that no
gradient reaches costs nothing. The sum runs in the order of the tops, as Caffe's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor


class Split(Layer):
    kind = "Split"
    shares_data = True
    tops = (1, None)
    takes_missing_diffs = True

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._shape = bottoms[0]
        return [bottoms[0]] * len(self.param.top)

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        return [bottoms[0]] * len(self.param.top)

    def backward(
        self, diffs: Sequence[Tensor | None], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        found = [diff for diff in diffs if diff is not None]
        if not found:
            return [torch.zeros(self._shape, device=self.context.device)]
        if len(found) == 1:
            return [found[0]]
        total = found[0] + found[1]
        for diff in found[2:]:
            total.add_(diff)
        return [total]
