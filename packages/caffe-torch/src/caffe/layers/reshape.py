"""Reshape: ``shape`` in place of ``num_axes`` axes from ``axis`` on; a view where possible.

A 0 copies the bottom's size at that place, one −1 takes what is left. A negative ``axis`` counts
from one past the end: −1 puts axes behind the last one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.layers.base import Layer, Shape, Tensor, text


class Reshape(Layer):
    kind = "Reshape"
    shares_data = True
    shares_diff = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.reshape_param
        self._dims: list[int] = list(param.shape.dim)
        self._first: int = param.axis
        self._replaced: int = param.num_axes
        if self._dims.count(-1) > 1:
            raise self.refuse(
                f"shape {self._dims} has {self._dims.count(-1)} dims of -1", allowed="one at most"
            )
        if any(size < -1 for size in self._dims):
            raise self.refuse(
                f"shape {self._dims} has a negative size", allowed="sizes, 0 and one -1"
            )
        if self._replaced < -1:
            raise self.refuse(f"num_axes is {self._replaced}", allowed="0 or more, or -1 for all")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._from = shape = tuple(bottoms[0])
        first, last = self._range(shape)
        middle = list(self._dims)
        for index, size in enumerate(middle):
            if size == 0:
                if first + index >= len(shape):
                    raise self.misfit(
                        f"dim {index} of {self._dims} is 0, but a bottom of shape {text(shape)} "
                        f"has no axis {first + index} to copy"
                    )
                middle[index] = shape[first + index]
        if -1 in middle:
            middle[middle.index(-1)] = self._rest(shape, [*shape[:first], *middle, *shape[last:]])
        self._to = (*shape[:first], *middle, *shape[last:])
        if math.prod(self._to) != math.prod(shape):
            raise self.misfit(
                f"a bottom of shape {text(shape)} has {math.prod(shape)} elements, "
                f"the new shape {text(self._to)} has {math.prod(self._to)}"
            )
        return [self._to]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        return [bottoms[0].reshape(self._to)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return [diffs[0].reshape(self._from) if wanted[0] else None]

    def _range(self, shape: Shape) -> tuple[int, int]:
        """First and last (excluded) axis to replace."""
        axes = len(shape)
        first = self._first if self._first >= 0 else axes + self._first + 1
        if not 0 <= first <= axes:
            raise self.misfit(
                f"axis {self._first} does not exist in a bottom of shape {text(shape)}",
                allowed=f"{-axes - 1} to {axes}",
            )
        last = axes if self._replaced == -1 else first + self._replaced
        if last > axes:
            raise self.misfit(
                f"axis {self._first} and num_axes {self._replaced} reach beyond a bottom of shape "
                f"{text(shape)}"
            )
        return first, last

    def _rest(self, shape: Shape, wished: list[int]) -> int:
        """What the -1 in ``wished`` stands for."""
        known = math.prod(size for size in wished if size != -1)
        count = math.prod(shape)
        if known == 0 or count % known:
            raise self.misfit(
                f"a bottom of shape {text(shape)} has {count} elements, no multiple of the {known} "
                f"that shape {self._dims} fixes"
            )
        return count // known
