"""Crop: the first bottom, cut to the size of the second in ``axis`` and all axes behind it.

It starts at ``offset``: one for all these axes, one for each, or 0. The top is a view. The second
bottom gives its size alone, its gradient is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor, text


class Crop(Layer):
    kind = "Crop"
    bottoms = (2, 2)
    _bottoms: Sequence[Tensor] = ()

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._offsets: list[int] = list(self.param.crop_param.offset)
        self._axis: int = self.param.crop_param.axis
        self._check_offsets(bottoms[0])

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        data, like = bottoms
        first = self._check_offsets(data)
        if len(like) < len(data):
            raise self.misfit(
                f"bottom 0 has shape {text(data)}, bottom 1 has {text(like)}",
                allowed="as many axes in bottom 1",
            )
        self._starts = [0] * len(data)
        self._shape = list(data)
        for axis in range(first, len(data)):
            start = 0
            if self._offsets:
                start = self._offsets[axis - first if len(self._offsets) > 1 else 0]
            if data[axis] - start < like[axis]:
                raise self.misfit(
                    f"bottom 1 of shape {text(like)} at offset {start} reaches beyond axis {axis} "
                    f"of bottom 0 of shape {text(data)}"
                )
            self._starts[axis], self._shape[axis] = start, like[axis]
        return [tuple(self._shape)]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._bottoms = bottoms
        return [self._window(bottoms[0])]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not self._bottoms:
            raise self.refuse("backward comes before forward")
        found = [
            torch.zeros_like(bottom) if want else None
            for bottom, want in zip(self._bottoms, wanted, strict=True)
        ]
        if found[0] is not None:
            self._window(found[0]).copy_(diffs[0])
        return found

    def _window(self, tensor: Tensor) -> Tensor:
        """The part of ``tensor`` that stays, as a view."""
        for axis, (start, size) in enumerate(zip(self._starts, self._shape, strict=True)):
            if size != tensor.shape[axis]:
                tensor = tensor.narrow(axis, start, size)
        return tensor

    def _check_offsets(self, data: Shape) -> int:
        """The first axis that is cut."""
        first = self.axis(self._axis, data)
        if len(self._offsets) > 1 and len(self._offsets) != len(data) - first:
            raise self.misfit(
                f"has {len(self._offsets)} offsets for {len(data) - first} axes: a bottom of shape "
                f"{text(data)} from axis {first} on",
                allowed=f"none, 1 or {len(data) - first}",
            )
        return first
