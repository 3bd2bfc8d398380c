"""ImageData: batches of picture files that a list names with their labels.

The first top holds the transformed pictures, the second the labels. With ``shuffle`` the list is
put into a random order at the start and after each round. ``rand_skip`` leaves out a random number
of pictures below it, once. Several solvers read the same pictures unless ``shuffle`` or
``rand_skip`` parts them, as in Caffe. Where the label is no number it is 0, as in Caffe.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe.data import images
from caffe.data.image_list import read_list
from caffe.layers.base import TRAIN, Shape
from caffe.layers.base_data import Fail, Loader, PrefetchingData, Slot, Transformer
from caffe.log import WARNING, Log
from caffe.random import Random


class ImageData(PrefetchingData):
    kind = "ImageData"
    tops = (2, 2)
    size_told_at = "image_data_layer.cpp:90"

    def open(self, transformer: Transformer) -> Loader:
        param = self.param.image_data_param
        self.batch_size(param.batch_size, "image_data_param.batch_size")
        if (param.new_height > 0) != (param.new_width > 0):
            raise self.refuse(
                f"new_height is {param.new_height}, new_width is {param.new_width}",
                allowed="both above 0, or neither",
            )
        context = self.context
        context.log("image_data_layer.cpp:38", f"Opening file {param.source}")
        lines = read_list(param.source, self.fail)
        shuffler = None
        if param.shuffle:
            context.log("image_data_layer.cpp:53", "Shuffling data")
            shuffler = Random(context.random.draw())
            shuffler.shuffle(lines)
        elif context.rank > 0 and not param.rand_skip and self.phase == TRAIN:
            context.log(
                "image_data_layer.cpp:60",
                "Shuffling or skipping recommended for multi-GPU",
                WARNING,
            )
        context.log("image_data_layer.cpp:63", f"A total of {len(lines)} images.")
        first = self._skip(param.rand_skip, len(lines), context.random, context.log)
        return _Loader(param, lines, first, shuffler, transformer, self.fail)

    def _skip(self, most: int, count: int, random: Random, log: Log) -> int:
        if not most:
            return 0
        first = random.draw() % most
        log("image_data_layer.cpp:70", f"Skipping first {first} data points.")
        if first >= count:
            raise self.refuse(
                f"rand_skip {most} skips {first} pictures, the list has {count}",
                allowed=f"rand_skip up to {count}",
            )
        return first


class _Loader:
    def __init__(
        self,
        param: Any,
        lines: list[tuple[str, int]],
        first: int,
        shuffler: Random | None,
        transformer: Transformer,
        fail: Fail,
    ) -> None:
        self._batch: int = param.batch_size
        self._root: str = param.root_folder
        self._color: bool = param.is_color
        self._size = (param.new_height, param.new_width) if param.new_height else None
        self._lines = lines
        self._next = first
        self._shuffler = shuffler
        self._transformer = transformer
        self._fail = fail
        self._paths = [self._root + lines[first][0]]
        image = transformer.shape(self._read(self._paths[0]).shape, self._name(0))
        self.shapes: list[Shape] = [(self._batch, *image), (self._batch,)]

    def fill(self, slot: Slot) -> None:
        taken = [self._take() for _ in range(self._batch)]
        self._paths = [self._root + path for path, _ in taken]
        found = images.side_by_side(self._read, self._paths)
        shape = self._transformer.shape(found[0].shape, self._name(0))
        out = slot.array(0, (self._batch, *shape))
        self._transformer.apply(found, out, self._name)
        slot.array(1, (self._batch,))[:] = [label for _, label in taken]

    def _take(self) -> tuple[str, int]:
        line = self._lines[self._next]
        self._next += 1
        if self._next == len(self._lines):
            self._next = 0
            if self._shuffler is not None:
                self._shuffler.shuffle(self._lines)
        return line

    def _read(self, path: str) -> np.ndarray[Any, Any]:
        return images.read(path, self._color, self._size, self._fail)

    def _name(self, index: int) -> str:
        return f'picture "{self._paths[index]}"'

    def close(self) -> None:
        self._lines = []
