"""ArgMax: the places of the ``top_k`` largest values, largest first; with ``out_max_val`` the
values too.

Without ``axis`` an item's values count as one row, and the top is N×1×k, or N×2×k with places and
values. With ``axis`` the top has k in that axis, and ``out_max_val`` gives the values alone. Of
equal values the last comes first (torch: any). It has no gradient; Caffe aborts on a backward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.layers.neuron import no_gradient


class ArgMax(Layer):
    kind = "ArgMax"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.argmax_param
        self._k: int = param.top_k
        self._values: bool = param.out_max_val
        self._axis: int | None = param.axis if param.HasField("axis") else None
        if self._k < 1:
            raise self.refuse("argmax_param.top_k is 0", allowed="1 or more")
        self._check(tuple(bottoms[0]))

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = tuple(bottoms[0])
        self._check(shape)
        if self._axis is None:
            places = 2 if self._values else 1
            self._top = (shape[0], places, self._k, *(1,) * (len(shape) - 3))
        else:
            axis = self.axis(self._axis, shape)
            self._top = (*shape[:axis], self._k, *shape[axis + 1 :])
        return [self._top]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        if self._axis is not None:
            values, places = self._largest(x, self._axis)
            return [values if self._values else places.to(x.dtype)]
        values, places = self._largest(x.reshape(x.shape[0], math.prod(x.shape[1:])), 1)
        found = places.to(x.dtype)
        if self._values:
            found = torch.stack([found, values], 1)
        return [found.reshape(self._top)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        raise no_gradient(self)

    def _largest(self, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Values and places of the k largest: a stable sort of the row read backwards."""
        values, places = x.flip(axis).sort(dim=axis, descending=True, stable=True)
        last = x.shape[axis] - 1
        return values.narrow(axis, 0, self._k), last - places.narrow(axis, 0, self._k)

    def _check(self, shape: Shape) -> None:
        if not shape:
            raise self.misfit("the bottom is a scalar", allowed="one axis or more")
        row = shape[1:] if self._axis is None else (shape[self.axis(self._axis, shape)],)
        size = math.prod(row)
        if self._k > size:
            raise self.misfit(
                f"top_k is {self._k}, but a bottom of shape {text(shape)} has {size} values to "
                f"choose from",
                allowed=f"1 to {size}",
            )
