"""Filter: of every bottom but the last, the items whose entry in the last one is not 0.

The tops' first axis depends on data: :meth:`reshape` gives all items, which is what Caffe allocates
at first, and ``forward`` may give fewer, even none. Items that were left out have the gradient 0.
There is none to the selector; Caffe aborts when one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor, text


class Filter(Layer):
    kind = "Filter"
    bottoms = (2, None)
    tops = (1, None)
    _chosen: Tensor | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        if len(self.param.top) != len(bottoms) - 1:
            raise self.refuse(
                f"has {len(self.param.top)} tops for {len(bottoms)} bottoms",
                allowed="one top for each bottom but the last, the selector",
            )

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        *items, selector = bottoms
        if not selector or any(size != 1 for size in selector[1:]):
            raise self.misfit(
                f"the selector, bottom {len(items)}, has shape {text(selector)}",
                allowed="one number for each item: N, N×1, N×1×1 …",
            )
        for index, shape in enumerate(items):
            if not shape or shape[0] != selector[0]:
                raise self.misfit(
                    f"bottom {index} has shape {text(shape)}, the selector has {text(selector)}",
                    allowed="the same number of items",
                )
        self._shapes = [tuple(shape) for shape in items]
        return list(self._shapes)

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._chosen = chosen = bottoms[-1].reshape(-1).nonzero().reshape(-1)
        return [bottom.index_select(0, chosen) for bottom in bottoms[:-1]]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if wanted[-1]:
            raise self.refuse(
                "has no gradient to its selector, the last bottom",
                next_step="set propagate_down: false for that bottom",
            )
        if self._chosen is None:
            raise self.refuse("backward comes before forward")
        found: list[Tensor | None] = [None] * len(wanted)
        for index, (diff, shape) in enumerate(zip(diffs, self._shapes, strict=True)):
            if wanted[index]:
                found[index] = torch.zeros(shape, dtype=diff.dtype, device=diff.device).index_copy_(
                    0, self._chosen, diff
                )
        return found
