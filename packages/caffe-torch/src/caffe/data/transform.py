"""TransformationParameter: crop, mirror, mean, scale, in Caffe's order and with its draws.

    y = (x − mean) · scale

The mean is a picture (``mean_file``), read at the place that the crop has in the whole picture, or
a value a channel. In TRAIN the crop is at a random place, in TEST in the middle; the mirror is
random in both. Each image takes its draws in the order mirror, row, column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.lib.stride_tricks import sliding_window_view

from caffe import blobproto
from caffe.blob import Shape
from caffe.data.faults import Fail
from caffe.proto import caffe_pb2
from caffe.random import Random

Array = np.ndarray[Any, Any]
_ONE = np.float32(1)


class Transformer:
    """Transforms the images of one net layer. Raises DataError for parameters that contradict
    each other and for a mean file that cannot be read."""

    def __init__(self, param: Any, train: bool, fail: Fail) -> None:
        self.crop: int = param.crop_size
        self._mirror: bool = param.mirror
        self._scale = np.float32(param.scale)
        self._random_crop = train and self.crop > 0
        self._fail = fail
        self._random: Random | None = None
        self.mean, self.values = _read_mean(param, fail)

    def seed(self, random: Random) -> None:
        """Start the transformer's own random numbers, by one draw if it needs any."""
        needed = self._mirror or self._random_crop
        self._random = Random(random.draw()) if needed else None

    def shape(self, image: Shape, name: str) -> Shape:
        """What becomes of an image of this shape; ``name`` is for the error."""
        if not self.crop:
            return image
        if min(image[1:]) < self.crop:
            raise self._fail(
                f"{name} is {image[1]}×{image[2]}, smaller than the crop_size {self.crop}",
                next_step="lower crop_size, or make the data again with larger images",
            )
        return (image[0], self.crop, self.crop)

    def apply(
        self, images: Sequence[Array] | Array, out: Array, name: Callable[[int], str]
    ) -> None:
        """Write the transformed ``images`` (channels × height × width each) into ``out``, float32
        with an axis for the batch in front. ``name(i)`` names image ``i`` in an error. Raises
        DataError."""
        count = len(images)
        for index in range(1 if isinstance(images, np.ndarray) else count):
            self._judge(images[index].shape, out.shape[1:], name, index)
        draws = self._draws(count)
        if isinstance(images, np.ndarray):
            window, mean = self._windows(images, draws)
            self._convert(window, mean, out)
            if self._mirror:
                flipped = np.flatnonzero(draws[:, 0] & 1)
                out[flipped] = out[flipped, :, :, ::-1]
            return
        for index in range(count):
            image = images[index]
            place = self._place(image.shape, draws[index])
            window, mean = self._window(image, *place)
            target = out[index]
            mirrored = self._mirror and draws[index, 0] & 1
            self._convert(window, mean, target[:, :, ::-1] if mirrored else target)

    def _draws(self, count: int) -> Array:
        each = self._mirror + 2 * self._random_crop
        if self._random is None:
            return np.empty((count, 0), np.uint32)
        return self._random.take(count * each).reshape(count, each)

    def _place(self, shape: Shape, draws: Array) -> tuple[int, int]:
        if not self._random_crop:
            return self._middle(shape)
        row, column = int(draws[-2]), int(draws[-1])
        return row % (shape[1] - self.crop + 1), column % (shape[2] - self.crop + 1)

    def _middle(self, shape: Shape) -> tuple[int, int]:
        if not self.crop:
            return 0, 0
        return (shape[1] - self.crop) // 2, (shape[2] - self.crop) // 2

    def _windows(self, images: Array, draws: Array) -> tuple[Array, Array | None]:
        """The parts of images of one shape, and their means, gathered at once."""
        if not self._random_crop:
            return self._window(images, *self._middle(images[0].shape))
        height, width = images.shape[2:]
        rows = draws[:, -2] % np.uint32(height - self.crop + 1)
        columns = draws[:, -1] % np.uint32(width - self.crop + 1)
        size = (self.crop, self.crop)
        all_windows = sliding_window_view(images, size, axis=(2, 3))
        window = all_windows[np.arange(len(images)), :, rows, columns]
        if self.mean is None:
            return window, self.values
        all_means = sliding_window_view(self.mean, size, axis=(1, 2))
        return window, all_means[:, rows, columns].swapaxes(0, 1)

    def _window(self, image: Any, row: int, column: int) -> tuple[Array, Array | None]:
        """The part of ``image`` at ``row``, ``column``, and its mean."""
        if not self.crop:
            return image, self.values if self.mean is None else self.mean
        rows, columns = slice(row, row + self.crop), slice(column, column + self.crop)
        mean = self.values if self.mean is None else self.mean[:, rows, columns]
        return image[..., rows, columns], mean

    def _convert(self, window: Array, mean: Array | None, out: Array) -> None:
        if mean is None:
            np.copyto(out, window)
        else:
            np.subtract(window, mean, out=out)
        if self._scale != _ONE:
            np.multiply(out, self._scale, out=out)

    def _judge(self, image: Shape, expected: Shape, name: Callable[[int], str], index: int) -> None:
        if self.shape(image, name(index) if self.crop else "") != tuple(expected):
            raise self._fail(
                f"{name(index)} is {_text(image)}, the first of its batch makes {_text(expected)}",
                allowed="one shape in a batch (with crop_size: one number of channels)",
                next_step="resize the images, or set batch_size: 1",
            )
        if self.mean is not None and self.mean.shape != image:
            raise self._fail(
                f"{name(index)} is {_text(image)}, the mean_file {_text(self.mean.shape)}",
                next_step="make the mean file from this source, or use mean_value",
            )
        if self.values is not None and len(self.values) not in (1, image[0]):
            raise self._fail(
                f"{len(self.values)} mean_value for {name(index)} of {image[0]} channels",
                allowed="one mean_value, or one for each channel",
            )


def _read_mean(param: Any, fail: Fail) -> tuple[Array | None, Array | None]:
    """The mean picture (channels × height × width) and the mean values (channels × 1 × 1), both
    float32, of a TransformationParameter; None where it has none. Raises what ``fail`` makes."""
    values = np.array(param.mean_value, np.float32).reshape(-1, 1, 1)
    if not param.HasField("mean_file"):
        return None, values if values.size else None
    if values.size:
        raise fail("both mean_file and mean_value are given", allowed="one of them")
    path = param.mean_file
    try:
        proto = caffe_pb2.BlobProto.FromString(Path(path).read_bytes())
    except OSError as error:
        raise fail(f'mean_file "{path}" cannot be read: {error.strerror}') from None
    except DecodeError:
        raise fail(
            f'mean_file "{path}" is not a BlobProto',
            next_step="make it with compute_image_mean",
        ) from None
    # The axes as Caffe's channels(), height() and width() name them.
    shape = (*blobproto.shape_of(proto), 1, 1, 1, 1)[1:4]
    numbers = blobproto.numbers(proto)
    count = shape[0] * shape[1] * shape[2]
    if not 0 < count <= numbers.size:
        raise fail(f'mean_file "{path}" has {numbers.size} values, its shape needs {count}')
    return numbers[:count].reshape(shape), None


def _text(shape: Shape) -> str:
    return "×".join(str(size) for size in shape)
