"""MemoryData: batches out of arrays that the program gives, data (N×C×H×W) and labels (N).

The batches follow one another and begin again at the end. Nothing is transformed. The arrays are
not copied where the net runs on the CPU.

As in Caffe the labels' top has the shape N at first, and N×1×1×1 from the first forward on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from caffe.errors import DataError, UsageError
from caffe.layers.base import TRAIN, Layer, Shape, Tensor, text

Array = np.ndarray[Any, Any]


class MemoryData(Layer):
    kind = "MemoryData"
    bottoms = (0, 0)
    tops = (2, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.memory_data_param
        self.batch_size = int(param.batch_size)
        self._item: Shape = (param.channels, param.height, param.width)
        if not self.batch_size * math.prod(self._item):
            raise self.refuse(
                f"has shape {text((self.batch_size, *self._item))}",
                allowed="batch_size, channels, height and width above 0 in memory_data_param",
            )
        transform = self.param.transform_param
        if transform.mirror or (self.phase == TRAIN and transform.crop_size):
            self.context.random.draw()  # Caffe seeds a transformer that it then does not use.
        self._arrays: tuple[Tensor, Tensor] | None = None
        self._next = 0

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(self.batch_size, *self._item), (self.batch_size,)]

    def set_arrays(self, data: Array, labels: Array) -> None:
        """Read from ``data`` (N×C×H×W) and ``labels`` (N numbers) from now on, float32 both.

        Raises UsageError for other shapes or types, and where N is no multiple of batch_size.
        """
        for what, array in (("data", data), ("labels", labels)):
            if array.dtype != np.float32 or not array.flags.c_contiguous:
                raise self._unusable(
                    f"the {what} are {array.dtype}, or not in C order",
                    "np.ascontiguousarray(…, np.float32)",
                )
        count = len(data) if data.ndim else 0
        if data.shape[1:] != self._item:
            raise self._unusable(f"the data have shape {text(data.shape)}", f"N×{text(self._item)}")
        if labels.size != count or labels.shape[:1] != (count,):
            raise self._unusable(
                f"{count} data and labels of shape {text(labels.shape)}", "as many labels as data"
            )
        if not count or count % self.batch_size:
            raise self._unusable(
                f"{count} data", f"a multiple of the batch_size, {self.batch_size}"
            )
        self._arrays = (torch.from_numpy(data), torch.from_numpy(labels).view(count))
        self._next = 0

    def _unusable(self, what: str, allowed: str) -> UsageError:
        return UsageError(f'layer "{self.name}" ({self.kind}): {what}', allowed=allowed)

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        if self._arrays is None:
            raise DataError(
                f'layer "{self.name}" ({self.kind}): has no data yet',
                next_step="call net.set_input_arrays(data, labels) before forward",
            )
        data, labels = self._arrays
        batch = slice(self._next, self._next + self.batch_size)
        self._next = batch.stop % len(data)
        device = self.context.device
        return [data[batch].to(device), labels[batch].view(-1, 1, 1, 1).to(device)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return []
