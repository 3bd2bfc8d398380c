"""The sliding window of a ConvolutionParameter: what Convolution, Deconvolution and Im2col share.

Every field is given once for all spatial axes, once an axis, or (two spatial axes only) as
``*_h`` and ``*_w``. Caffe takes a dilation of 0, where a kernel reads one element over and over; it
is refused here. A window whose kernel is dilated reaches over dilation · (kernel - 1) + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffe.layers.base import Layer, Shape, text


@dataclass(frozen=True)
class Window:
    """One number a spatial axis for each field."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @property
    def reach(self) -> Shape:
        """How far the dilated kernel reaches over the bottom."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def is_point(self) -> bool:
        """A kernel of one element that visits every element once."""
        return set(self.kernel) | set(self.stride) <= {1} and not any(self.pad)

    def places(self, sizes: Sequence[int]) -> Shape:
        """How often the window fits over ``sizes``; not positive where it does not.

        The division truncates towards zero as in C++, so a kernel that is larger than its bottom
        by less than a stride has one place, beyond whose end Caffe reads zeros.
        """
        rows = zip(sizes, self.reach, self.stride, self.pad, strict=True)
        return tuple(int((size + 2 * p - reach) / s) + 1 for size, reach, s, p in rows)

    def overhang(self, sizes: Sequence[int]) -> Shape:
        """How many zeros the end of each axis lacks for the only place of a larger kernel."""
        rows = zip(sizes, self.reach, self.pad, strict=True)
        return tuple(max(reach - size - 2 * p, 0) for size, reach, p in rows)


def window(layer: Layer, param: Any, axes: int) -> Window:
    """The window of a ConvolutionParameter over ``axes`` spatial axes.

    Raises DefinitionError where fields are missing, zero, too many or contradict each other.
    """
    made = Window(
        _field(layer, param, "kernel_size", ("kernel_h", "kernel_w"), axes, None),
        _field(layer, param, "stride", ("stride_h", "stride_w"), axes, 1),
        _field(layer, param, "pad", ("pad_h", "pad_w"), axes, 0),
        _field(layer, param, "dilation", (), axes, 1),
    )
    for name in ("kernel", "stride", "dilation"):
        if 0 in getattr(made, name):
            raise layer.refuse(
                f"{name} is {text(getattr(made, name))}",
                allowed="a size of 1 or more for every spatial axis",
                next_step="kernel_h and kernel_w, stride_h and stride_w are given together"
                if name != "dilation"
                else "",
            )
    return made


def _field(
    layer: Layer, param: Any, name: str, pair: Sequence[str], axes: int, default: int | None
) -> Shape:
    given = list(getattr(param, name))
    if any(param.HasField(one) for one in pair):
        if axes != 2 or given:
            raise layer.refuse(
                f"has {' or '.join(pair)} "
                + (f"and {name} as well" if given else f"for {axes} spatial axes"),
                allowed=f"either {name} or {' and '.join(pair)}; the latter for two spatial axes",
            )
        return tuple(getattr(param, one) for one in pair)
    if not given and axes:
        if default is None:
            raise layer.refuse(f"has no {name}", next_step=f"give {name}, or {' and '.join(pair)}")
        given = [default]
    if len(given) not in (1, axes) and axes:
        raise layer.refuse(
            f"has {len(given)} times {name} for {axes} spatial axes",
            allowed=f"once, or {axes} times",
        )
    return tuple(given * axes if len(given) == 1 else given)[:axes]
