"""``caffe.io.Transformer``: from an image to a net's input, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffe.errors import UsageError
from caffe.pycaffe.images import resize_image
from caffe.pycaffe.messages import WrongShapeError

Array = np.ndarray[Any, Any]
_IMAGE_AXES = 3


class Transformer:
    """``inputs`` gives each net input's shape, N×C×H×W.

    :meth:`preprocess` resizes, transposes, swaps channels, scales raw values, subtracts the mean
    and scales the input, in this order; each step only if it is set. Every method raises
    UsageError for a name that is no input.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> Array:
        """The input of an H×W×C image; float32, C×H×W where transposed so."""
        self._check(in_)
        found = data.astype(np.float32, copy=False)
        size = tuple(self.inputs[in_][2:])
        if found.shape[:2] != size:
            found = resize_image(found, size)
        if (transpose := self.transpose.get(in_)) is not None:
            found = found.transpose(transpose)
        if (swap := self.channel_swap.get(in_)) is not None:
            found = found[list(swap), :, :]
        if (raw_scale := self.raw_scale.get(in_)) is not None:
            found = found * np.float32(raw_scale)
        if (mean := self.mean.get(in_)) is not None:
            found = (found - mean).astype(np.float32)
        if (input_scale := self.input_scale.get(in_)) is not None:
            found = found * np.float32(input_scale)
        return found

    def deprocess(self, in_: str, data: Array) -> Array:
        """Undo :meth:`preprocess`, but for the size."""
        self._check(in_)
        found = data.copy().squeeze()
        if (input_scale := self.input_scale.get(in_)) is not None:
            found /= input_scale
        if (mean := self.mean.get(in_)) is not None:
            found += mean
        if (raw_scale := self.raw_scale.get(in_)) is not None:
            found /= raw_scale
        if (swap := self.channel_swap.get(in_)) is not None:
            found = found[np.argsort(swap), :, :]
        if (transpose := self.transpose.get(in_)) is not None:
            found = found.transpose(np.argsort(transpose))
        return found

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of axes, (2, 0, 1) from H×W×C to C×H×W."""
        self._check(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise UsageError(
                f"the transpose order {tuple(order)} has not as many axes as the input",
                allowed=f"{len(self.inputs[in_]) - 1}",
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of channels, (2, 1, 0) from RGB to BGR."""
        self._check(in_)
        if len(order) != self.inputs[in_][1]:
            raise UsageError(
                f"the channel swap {tuple(order)} has not as many channels as the input",
                allowed=f"{self.inputs[in_][1]}",
            )
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Multiply raw values, 255 for a net that was trained on bytes."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """What to subtract: a number a channel, or C×H×W, resized where it has another size.
        Raises ValueError for other shapes."""
        self._check(in_)
        _, channels, *size = self.inputs[in_]
        if mean.ndim == 1:
            if mean.shape[0] != channels:
                raise WrongShapeError(
                    f"the mean has {mean.shape[0]} channels, the input {channels}"
                )
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            if mean.ndim == _IMAGE_AXES - 1:
                mean = mean[np.newaxis]
            if mean.ndim != _IMAGE_AXES or mean.shape[0] != channels:
                raise WrongShapeError(
                    f"the mean has shape {mean.shape}", allowed=f"{channels}, or {channels}×H×W"
                )
            if list(mean.shape[1:]) != list(size):
                mean = resize_image(mean.transpose(1, 2, 0), size).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Multiply the input after the mean is subtracted."""
        self._check(in_)
        self.input_scale[in_] = scale

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise UsageError(
                f"{in_} is not one of the net inputs", allowed=", ".join(map(str, self.inputs))
            )
