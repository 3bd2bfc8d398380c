"""HDF5Output: writes its two bottoms as the datasets ``data`` and ``label`` of an HDF5 file.

Each has four axes, as Caffe writes it: number, channels, height, width, with ones at the end. The
file is made anew at setup. As in Caffe, a second forward is refused: the datasets are there
already.
"""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from caffe.data.faults import fail_for
from caffe.layers.base import Layer, Shape, Tensor, text

_AXES = 4


class HDF5Output(Layer):
    kind = "HDF5Output"
    bottoms = (2, 2)
    tops = (0, 0)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._fail = fail_for(self.name, self.kind)
        self._path: str = self.param.hdf5_output_param.file_name
        if not self._path:
            raise self.refuse("hdf5_output_param.file_name is empty", allowed="the path of a file")
        try:
            with h5py.File(self._path, "w"):
                pass
        except OSError as error:
            raise self._fail(
                f'file "{self._path}" cannot be made: {error}',
                next_step="make its folder, or close it where it is open",
            ) from None
        self._written = False

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        for shape in bottoms:
            if len(shape) > _AXES:
                raise self.misfit(f"a bottom is {text(shape)}", allowed="at most 4 axes")
        data, label = (_four(shape) for shape in bottoms)
        if data[0] != label[0]:
            raise self.misfit(
                f"the bottoms are {text(bottoms[0])} and {text(bottoms[1])}",
                allowed="the same size on the first axis",
            )
        return []

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        if self._written:
            raise self._fail(
                f'file "{self._path}" has a batch already',
                allowed="one forward: Caffe writes one batch a file",
                next_step="make the net again with another file_name for each batch",
            )
        try:
            with h5py.File(self._path, "a") as file:
                for name, bottom in zip(("data", "label"), bottoms, strict=True):
                    values = bottom.detach().cpu().numpy().astype(np.float32, copy=False)
                    file.create_dataset(name, data=values.reshape(_four(values.shape)))
        except OSError as error:
            raise self._fail(f'file "{self._path}" cannot be written: {error}') from None
        self._written = True
        return []

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return [None, None]


def _four(shape: Sequence[int]) -> Shape:
    return (*shape, *[1] * (_AXES - len(shape)))
