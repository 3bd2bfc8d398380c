"""Images of another size: one matrix per axis, so that a resize is two products.

With scikit-image, pycaffe smooths an image before it makes it smaller, and sees zeros beyond its
borders; so do we. Sample positions are pixel centres.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_REACH = 4.0
"""How many standard deviations a smoothing kernel reaches."""


def resize(image: Array, height: int, width: int, order: int) -> Array:
    """``image`` (H×W×K, float) as height×width×K, by nearest pixels (``order`` 0), bilinear (1)
    or cubic (else) interpolation. No pixel leaves the range of the smoothed image: cubic curves
    swing, and beyond the borders there are zeros."""
    tall, wide = image.shape[:2]
    smooth = _along_both(
        _smoothing(tall, _sigma(tall, height)), _smoothing(wide, _sigma(wide, width)), image
    )
    made = _along_both(
        _samples(tall, _centres(tall, height), order), _samples(wide, _centres(wide, width), order),
        smooth,
    )  # fmt: skip
    return np.asarray(np.clip(made, smooth.min(), smooth.max()))


def zoom(image: Array, height: int, width: int, order: int) -> Array:
    """As :func:`resize`, with the outermost pixels kept in their places and without smoothing:
    what pycaffe does with images that have neither one nor three channels."""
    rows = _samples(image.shape[0], _corners(image.shape[0], height), order)
    columns = _samples(image.shape[1], _corners(image.shape[1], width), order)
    return _along_both(rows, columns, image)


def _along_both(rows: Array, columns: Array, image: Array) -> Array:
    """One matrix for the rows of H×W×K, one for its columns; H×W×K."""
    tall = np.tensordot(rows, image.astype(np.float64), (1, 0))
    return np.ascontiguousarray(np.tensordot(tall, columns, (1, 1)).transpose(0, 2, 1))


def _centres(size: int, wanted: int) -> Array:
    return (np.arange(wanted) + 0.5) * (size / wanted) - 0.5


def _sigma(size: int, wanted: int) -> float:
    return max(0.0, (size / wanted - 1) / 2)


def _corners(size: int, wanted: int) -> Array:
    return np.linspace(0, size - 1, wanted)


def _samples(size: int, positions: Array, order: int) -> Array:
    kernel, reach = _KERNELS[min(order, 2)]
    if order == 0:
        positions = np.floor(positions + 0.5)
    first = np.floor(positions).astype(int)
    matrix = np.zeros((len(positions), size))
    for offset in range(1 - reach, reach + 1):
        weights = kernel(positions - (first + offset))
        _add(matrix, first + offset, weights)
    return matrix


def _smoothing(size: int, sigma: float) -> Array:
    if not sigma:
        return np.eye(size)
    reach = int(_REACH * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((size, size))
    for offset, weight in zip(offsets, weights, strict=True):
        _add(matrix, np.arange(size) + offset, np.full(size, weight))
    return matrix


def _add(matrix: Array, columns: Array, weights: Array) -> None:
    """Add a weight in each row, unless its column is beyond the border."""
    inside = (columns >= 0) & (columns < matrix.shape[1])
    rows = np.flatnonzero(inside)
    matrix[rows, columns[inside]] += weights[inside]


def _nearest(distance: Array) -> Array:
    return np.asarray(distance == 0, float)


def _linear(distance: Array) -> Array:
    return np.asarray(np.maximum(0.0, 1 - np.abs(distance)))


def _cubic(distance: Array) -> Array:
    """Catmull and Rom's spline, which goes through the pixels."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.asarray(np.where(x <= 1, near, np.where(x < 2, far, 0.0)))


_KERNELS: tuple[tuple[Callable[[Array], Array], int], ...] = (
    (_nearest, 1),
    (_linear, 1),
    (_cubic, 2),
)
