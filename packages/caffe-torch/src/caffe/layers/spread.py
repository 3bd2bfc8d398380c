"""What Scale and Bias share: a second operand whose axes are some of the first bottom's.

The operand is a learnable blob, or the second bottom. It lies along the axes of the first bottom
from ``axis`` on and is repeated along the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe.layers.base import Layer, Shape, Tensor, text


def learnable_shape(layer: Layer, param: Any, bottom: Shape) -> Shape:
    """The operand's shape by ``axis`` and ``num_axes`` (-1: all that follow). Raises ShapeError."""
    axis = layer.axis(param.axis, bottom)
    count = param.num_axes
    if count < -1 or axis + count > len(bottom):
        raise layer.misfit(
            f"num_axes {count} from axis {axis} on do not exist in a bottom of shape "
            f"{text(bottom)}",
            allowed=f"-1 (all), or 0 to {len(bottom) - axis}",
        )
    return bottom[axis:] if count == -1 else bottom[axis : axis + count]


def spread(layer: Layer, axis: int, operand: Shape, bottom: Shape) -> Shape:
    """The operand's shape with a 1 for each axis along which it is repeated. Raises ShapeError."""
    start = layer.axis(axis, bottom) if operand else 0
    if bottom[start : start + len(operand)] != operand:
        raise layer.misfit(
            f"an operand of shape {text(operand)} does not lie along axis {start} of a bottom of "
            f"shape {text(bottom)}",
            allowed=f"a shape that {text(bottom[start:])} begins with",
        )
    after = len(bottom) - start - len(operand)
    return (*(1,) * start, *operand, *(1,) * after)


def collect(gradient: Tensor, shape: Sequence[int]) -> Tensor:
    """The sum of ``gradient`` along the axes where the spread ``shape`` is 1."""
    axes = [axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis] != 1]
    return gradient.sum(axes, keepdim=True) if axes else gradient
