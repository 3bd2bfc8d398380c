"""WindowData: R-CNN's batches of windows of pictures, some foreground, the rest background.

A batch has batch_size · fg_fraction foreground windows (rounded down), behind the background ones.
Each is drawn anew, cut out with its context, warped to crop_size and, at random, mirrored, in both
phases. The mean is taken around the middle of the mean file. The first top holds the windows, the
second their classes.

The scale is window_data_param's, as in Caffe; transform_param's does nothing. Unlike Caffe, which
leaves the rest of the batch zero behind a picture that cannot be read, and reads wrong memory
behind a picture number or a mean file that does not fit, this refuses them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe.data import images
from caffe.data.windows import Window, cut, read_windows
from caffe.layers.base import Shape
from caffe.layers.base_data import Fail, Loader, PrefetchingData, Slot, Transformer
from caffe.random import Random

Array = np.ndarray[Any, Any]
_CHANNELS = 3


class WindowData(PrefetchingData):
    kind = "WindowData"
    tops = (2, 2)
    size_told_at = "window_data_layer.cpp:183"

    def open(self, transformer: Transformer) -> Loader:
        param = self.param.window_data_param
        self.batch_size(param.batch_size, "window_data_param.batch_size")
        crop = transformer.crop
        if crop <= 2 * param.context_pad:
            raise self.refuse(
                f"crop_size is {crop}, context_pad is {param.context_pad}",
                allowed="a crop_size above twice the context_pad",
            )
        random = Random(self.context.random.draw())
        return _Loader(self.param, random, transformer, self.fail)


class _Loader:
    def __init__(self, param: Any, random: Random, transformer: Transformer, fail: Fail) -> None:
        window = param.window_data_param
        self._source = source = window.source
        self._file = read_windows(
            source, window.root_folder, window.fg_threshold, window.bg_threshold, fail
        )
        if self._file.channels != _CHANNELS:
            raise fail(
                f'source "{source}" says {self._file.channels} channels',
                allowed="3: pictures are read in colour",
            )
        self._batch: int = window.batch_size
        self._foreground = int(np.float32(window.batch_size) * np.float32(window.fg_fraction))
        self._scale = np.float32(window.scale)
        self._pad: int = window.context_pad
        self._square = window.crop_mode == "square"
        self._crop = transformer.crop
        self._mirror: bool = param.transform_param.mirror
        self._random = random
        self._fail = fail
        self._mean = _mean(transformer, source, fail)
        self._cached: dict[str, bytes] = {}
        if window.cache_images:
            self._cached = {path: self._load(path) for path in self._file.paths}
        self.shapes: list[Shape] = [
            (self._batch, _CHANNELS, self._crop, self._crop),
            (self._batch,),
        ]

    def fill(self, slot: Slot) -> None:
        each = 1 + self._mirror
        draws = self._random.take(self._batch * each).reshape(self._batch, each).tolist()
        chosen: list[tuple[Window, bool]] = []
        for index, words in enumerate(draws):
            behind = index >= self._batch - self._foreground
            windows = self._file.foreground if behind else self._file.background
            chosen.append((windows[words[0] % len(windows)], bool(self._mirror and words[-1] & 1)))
        out = slot.array(0, self.shapes[0])
        for target, made in zip(out, images.side_by_side(self._make, chosen), strict=True):
            target[...] = made
        slot.array(1, self.shapes[1])[:] = [window.label for window, _ in chosen]

    def _make(self, chosen: tuple[Window, bool]) -> Array:
        """The crop of a window: channels × crop_size × crop_size."""
        window, mirror = chosen
        image = self._read(self._file.paths[window.image])
        height, width = image.shape[:2]
        place = cut(window, height, width, self._crop, self._pad, self._square, mirror)
        x1, y1, x2, y2 = place.box
        inside = 0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height
        if not inside or min(place.height, place.width) < 1:
            raise self._fail(
                f'source "{self._source}": window {window.box} of picture {window.image} does not '
                f"fit into its {height}×{width} pixels",
                allowed="x1 y1 x2 y2 inside the picture, from left to right, top to bottom",
            )
        part = image[y1 : y2 + 1, x1 : x2 + 1]
        part = cv2.resize(part, (place.width, place.height), interpolation=cv2.INTER_LINEAR)
        if mirror:
            part = part[:, ::-1]
        made = np.zeros((_CHANNELS, self._crop, self._crop), np.float32)
        rows = slice(place.row, place.row + place.height)
        columns = slice(place.column, place.column + place.width)
        made[:, rows, columns] = part.transpose(2, 0, 1)
        if self._mean is not None:
            whole = self._mean.shape[1] > 1
            made[:, rows, columns] -= self._mean[:, rows, columns] if whole else self._mean
        made[:, rows, columns] *= self._scale
        return made

    def _read(self, path: str) -> Array:
        if path in self._cached:
            name = f'picture "{path}"'
            found = images.decode(self._cached[path], images.COLOR, name, self._fail)
        else:
            found = images.read(path, True, None, self._fail)
        return found.transpose(1, 2, 0)

    def _load(self, path: str) -> bytes:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise self._fail(f'picture "{path}" cannot be read: {error.strerror}') from None

    def close(self) -> None:
        self._cached = {}


def _mean(transformer: Transformer, source: str, fail: Fail) -> Array | None:
    """The mean of a whole crop, or of each channel. Raises what ``fail`` makes."""
    values, mean, crop = transformer.values, transformer.mean, transformer.crop
    if values is not None and len(values) not in (1, _CHANNELS):
        raise fail(f"{len(values)} mean_value", allowed="one, or one for each of 3 channels")
    if mean is None:
        return values
    # Caffe places the crop by the width alone.
    first = (mean.shape[2] - crop) // 2
    if mean.shape[0] != _CHANNELS or first < 0 or first + crop > mean.shape[1]:
        raise fail(
            f"the mean_file is {'×'.join(map(str, mean.shape))}, crop_size {crop}",
            allowed=f"3 channels, at least {crop}×{crop}",
            next_step="make the mean file from larger pictures",
        )
    return mean[:, first : first + crop, first : first + crop]
