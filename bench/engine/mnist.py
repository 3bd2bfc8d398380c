"""MNIST's training images as arrays, from the example's own files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FOLDER = Path(__file__).resolve().parents[2] / "examples" / "mnist" / "data"
_IMAGE_HEAD, _LABEL_HEAD, _SIDE = 16, 8, 28


def images(count: int) -> tuple[Array, Array]:
    """The first ``count`` images, float32 in 0 … 1 (count×28×28), and their labels, float32."""
    with gzip.open(FOLDER / "train-images-idx3-ubyte.gz") as file:
        pixels = file.read(_IMAGE_HEAD + count * _SIDE * _SIDE)[_IMAGE_HEAD:]
    with gzip.open(FOLDER / "train-labels-idx1-ubyte.gz") as file:
        labels = file.read(_LABEL_HEAD + count)[_LABEL_HEAD:]
    found = np.frombuffer(pixels, np.uint8).reshape(count, _SIDE, _SIDE)
    return found.astype(np.float32) / 256, np.frombuffer(labels, np.uint8).astype(np.float32)


def pairs(count: int) -> tuple[Array, Array]:
    """``count`` pairs of images, count×2×28×28, and whether their digits are the same (1 or 0)."""
    pixels, digits = images(2 * count)
    return pixels.reshape(count, 2, _SIDE, _SIDE), (digits[::2] == digits[1::2]).astype(np.float32)
