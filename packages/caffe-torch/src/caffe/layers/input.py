"""Input: tops that somebody else fills, by writing into the net's blobs.

One shape serves all tops, or each has its own. ``keeps_tops`` says that the net makes the tops by
``reshape`` once and never calls ``forward``: data and shape stay what the user made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe.layers.base import Layer, Shape, Tensor


class Input(Layer):
    kind = "Input"
    bottoms = (0, 0)
    tops = (1, None)
    keeps_tops = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._shapes = shapes_of_tops(self, self.param.input_param.shape)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self._shapes

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        raise self.refuse("makes no data of its own")

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return []


def shapes_of_tops(
    layer: Layer, shapes: Sequence[Any], *, none_is_scalar: bool = True
) -> list[Shape]:
    """The shape of each top from one BlobShape for all or one for each; scalars where there is
    none, if that may be. Raises DefinitionError for another number of them."""
    tops = len(layer.param.top)
    found = [tuple(shape.dim) for shape in shapes]
    if not found and none_is_scalar:
        found = [()]
    if len(found) not in (1, tops):
        raise layer.refuse(
            f"has {len(found)} shapes for {tops} tops",
            allowed="one shape for all tops, or one for each",
        )
    return found * tops if len(found) == 1 else found
