"""Concat: the bottoms after one another along ``axis`` (or the old field ``concat_dim``).

torch.cat; the gradients are views of the top's. One bottom passes through as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor, text


class Concat(Layer):
    kind = "Concat"
    bottoms = (1, None)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._param = self.param.concat_param
        if self._param.HasField("axis") and self._param.HasField("concat_dim"):
            raise self.refuse("has both axis and concat_dim", allowed="axis alone")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        first = tuple(bottoms[0])
        axis = self._axis = old_or_new_axis(self, self._param, "concat_dim", first)
        self._sizes: list[int] = []
        for index, shape in enumerate(bottoms):
            if len(shape) != len(first) or any(
                shape[i] != first[i] for i in range(len(first)) if i != axis
            ):
                raise self.misfit(
                    f"bottom 0 has shape {text(first)}, bottom {index} has {text(shape)}",
                    allowed=f"shapes that differ in axis {axis} only",
                )
            self._sizes.append(shape[axis])
        return [(*first[:axis], sum(self._sizes), *first[axis + 1 :])]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        return [bottoms[0] if len(bottoms) == 1 else torch.cat(bottoms, self._axis)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        parts = torch.split_with_sizes(diffs[0], self._sizes, self._axis)
        return [part if want else None for part, want in zip(parts, wanted, strict=True)]


def old_or_new_axis(layer: Layer, param: object, old: str, shape: Shape) -> int:
    """The axis that ``param`` names: its field ``old``, which can't be negative, or ``axis``.

    Raises ShapeError.
    """
    if not param.HasField(old):  # type: ignore[attr-defined]
        return layer.axis(param.axis, shape)  # type: ignore[attr-defined]
    axis: int = getattr(param, old)
    if axis >= len(shape):
        raise layer.misfit(
            f"{old} {axis} does not exist in a bottom of shape {text(shape)}",
            allowed=f"0 to {len(shape) - 1}",
        )
    return axis
