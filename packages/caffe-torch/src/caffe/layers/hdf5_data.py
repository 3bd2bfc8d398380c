"""HDF5Data: rows of HDF5 files, one dataset a top, named like the top.

A batch goes on in the next file of the list, and behind the last file in the first. With
``shuffle`` the files and the rows of each file are in a random order. Caffe shuffles with C's
rand(), which all of a process share and nobody seeds. Here each layer has rand() to itself, from
its start: the order is Caffe's for the first such layer of a process, and the same for every
solver, which parts the rows among them truly. With several solvers each takes every n-th row in
TRAIN.

A file is read whole when its turn comes. Unlike Caffe, which then reads wrong memory, a file whose
rows have another shape than the first file's is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe.data.crand import CRand
from caffe.data.faults import fail_for
from caffe.data.hdf5 import read_names, read_rows
from caffe.layers.base import TRAIN, Layer, Shape, Tensor, text


class HDF5Data(Layer):
    kind = "HDF5Data"
    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.hdf5_data_param
        if self.param.HasField("transform_param"):
            raise self.refuse(
                "transform_param is given", allowed="none: HDF5Data does not transform"
            )
        if param.batch_size < 1:
            raise self.refuse(f"batch_size is {param.batch_size}", allowed="1 or more")
        self._batch: int = param.batch_size
        self._fail = fail_for(self.name, self.kind)
        self._rand = CRand() if param.shuffle else None
        self._names = list(self.param.top)
        log = self.context.log
        log("hdf5_data_layer.cpp:81", f"Loading list of HDF5 filenames from: {param.source}")
        self._files = read_names(param.source, self._fail)
        log("hdf5_data_layer.cpp:95", f"Number of HDF5 files: {len(self._files)}")
        self._file_order = list(range(len(self._files)))
        if self._rand:
            self._rand.shuffle(self._file_order)
        self._file = 0
        self._offset = 0
        self._row = 0
        self._arrays: list[np.ndarray[Any, Any]] = []
        self._order = np.empty(0, np.int64)
        self._load()

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(self._batch, *array.shape[1:]) for array in self._arrays]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        tops = [torch.empty(shape) for shape in self.reshape([])]
        targets = [top.numpy() for top in tops]
        done = 0
        while done < self._batch:
            # Rows of this file, as many as fit; a turn of the file comes with its last row.
            step = self._step()
            first = self._row + self._wait()
            rows = self._order[first::step][: self._batch - done]
            for target, array in zip(targets, self._arrays, strict=True):
                np.take(array, rows, axis=0, out=target[done : done + len(rows)], mode="clip")
            done += len(rows)
            self._advance(first + (len(rows) - 1) * step + 1 if len(rows) else len(self._order))
        return [top.to(self.context.device) for top in tops]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return []

    def _step(self) -> int:
        return self.context.ranks if self.phase == TRAIN else 1

    def _wait(self) -> int:
        """How many rows other solvers take before this one's next."""
        return (self.context.rank - self._offset) % self._step() if self.phase == TRAIN else 0

    def _advance(self, row: int) -> None:
        self._offset += row - self._row
        self._row = row
        if row < len(self._order):
            return
        if len(self._files) > 1:
            self._file += 1
            if self._file == len(self._files):
                self._file = 0
                if self._rand:
                    self._rand.shuffle(self._file_order)
            self._load()
        self._row = 0
        if self._rand:
            order = self._order.tolist()
            self._rand.shuffle(order)
            self._order = np.array(order)

    def _load(self) -> None:
        path = self._files[self._file_order[self._file]]
        found = read_rows(path, self._names, self._fail)
        for name, old, new in zip(self._names, self._arrays, found, strict=False):
            if old.shape[1:] != new.shape[1:]:
                raise self._fail(
                    f'HDF5 file "{path}", dataset "{name}" has rows of {text(new.shape[1:])}, '
                    f"the files before it rows of {text(old.shape[1:])}",
                    allowed="one shape in all files of a source",
                )
        self._arrays = found
        order = list(range(len(found[0])))
        if self._rand:
            self._rand.shuffle(order)
        self._order = np.array(order)
