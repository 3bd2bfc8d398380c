"""Any number of items through a net's fixed batch, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from caffe.errors import UsageError
from caffe.pycaffe.blob import Array


def length(arrays: Mapping[str, Any]) -> int:
    """How many items the arrays hold. Raises UsageError where they differ or there are none."""
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) != 1:
        told = ", ".join(f"{name}: {size}" for name, size in sizes.items()) or "none"
        raise UsageError(f"the arrays hold different numbers of items ({told})")
    return next(iter(sizes.values()))


def split(arrays: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """Batches of ``size``; the last is filled up with zeros."""
    total = length(arrays)
    whole = {name: np.asarray(array) for name, array in arrays.items()}
    for start in range(0, total, size):
        missing = max(0, start + size - total)
        yield {
            name: np.concatenate(
                (array[start : start + size], np.zeros((missing, *array.shape[1:]), array.dtype))
            )
            for name, array in whole.items()
        }


def joined(parts: Mapping[str, Sequence[Array]], count: int) -> dict[str, Array]:
    """What the batches gave, one after another, for the first ``count`` items. Raises UsageError
    for an output that is one number a batch."""
    for name, arrays in parts.items():
        if arrays and arrays[0].ndim == 0:
            raise UsageError(
                f'"{name}" is one number for a batch and cannot be given for each item',
                next_step="use a net without the loss, or call forward batch by batch",
            )
    return {name: np.concatenate(list(arrays))[:count] for name, arrays in parts.items()}
