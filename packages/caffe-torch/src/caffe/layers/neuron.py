"""What the element by element types share: a value, and a gradient from what Caffe still has.

Such a type may run in place. Then Caffe's bottom holds the top's values when it goes back, and a
gradient that is written in terms of x gets y. That is harmless for most types and wrong for BNLL,
Clip, Log and Power; Caffe does not refuse it, and the engine gives the same numbers. Log and Power
are worse off: see :meth:`Neuron.chain`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caffe.errors import DefinitionError
from caffe.layers.base import Layer, Shape, Tensor


class Neuron(Layer):
    """y = value(x), element by element; one bottom, one top of its shape.

    Neither method may write into what it is given.
    """

    in_place = True
    reads_bottoms = True
    reads_tops = True
    _kept: tuple[Tensor, Tensor] | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        top = self.param.top
        self._overwrites = bool(top) and top[0] == self.param.bottom[0]

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x = bottoms[0]
        y = self.value(x)
        self._kept = (y if self._overwrites else x, y)
        return [y]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._kept = (bottoms[0], tops[0])

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if self._kept is None:
            raise self.refuse("backward comes before forward")
        return [self.gradient(diffs[0], *self._kept) if wanted[0] else None]

    def value(self, x: Tensor) -> Tensor:
        """y."""
        raise NotImplementedError(self.kind)

    def gradient(self, diff: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The bottom's gradient from the top's; ``x`` is ``y`` where the layer runs in place."""
        raise NotImplementedError(self.kind)

    def chain(self, slope: Tensor, diff: Tensor) -> Tensor:
        """slope · diff, in the memory of ``slope``; in place slope², whatever the diff.

        For types where Caffe writes the slope into the bottom's diff and then multiplies it by the
        top's, which is the same memory in place.
        """
        return slope.square_() if self._overwrites else slope.mul_(diff)


def no_gradient(layer: Layer) -> DefinitionError:
    """The error for a backward through a type that has no gradient; Caffe aborts there."""
    return layer.refuse(
        "has no gradient, but a loss behind it asks for one",
        next_step="take it out of the way to the loss, or set propagate_down: false on it",
    )


def log_of_base(layer: Layer, base: float) -> float:
    """ln(base) for Exp and Log, where -1 says e. Raises DefinitionError."""
    if base == -1:
        return 1.0
    if not 0 < base < math.inf:
        field = f"{layer.kind.lower()}_param.base"
        raise layer.refuse(f"{field} is {base:g}", allowed="a finite number above 0, or -1 for e")
    return math.log(base)
