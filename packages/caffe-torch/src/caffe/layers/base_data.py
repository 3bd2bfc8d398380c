"""What Data, ImageData and WindowData share: a transformer, and a thread that reads ahead.

Random numbers are drawn in Caffe's order: one by the transformer if it needs any, those of the
type's own setup, one by the transformer again, one for the thread. So a seed gives Caffe's crops
and mirrors.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import ClassVar, Protocol

from caffe.data.faults import Fail, fail_for
from caffe.data.prefetch import Prefetch, Slot
from caffe.data.transform import Transformer
from caffe.layers.base import TRAIN, Layer, Shape, Tensor


class Loader(Protocol):
    """Makes the batches of one net layer. It must not hold the layer."""

    shapes: list[Shape]
    """The tops' shapes of the first batch."""

    def fill(self, slot: Slot) -> None:
        """Write the next batch into ``slot``; runs in the thread. Raises DataError."""

    def close(self) -> None:
        """Let go of files."""


class PrefetchingData(Layer):
    """A type makes its :class:`Loader` in ``open``. The tops' shapes may change with any batch."""

    bottoms = (0, 0)
    size_told_at: ClassVar[str] = ""
    """Where Caffe's log lines with the first top's shape come from."""

    def setup(self, bottoms: Sequence[Shape]) -> None:
        depth = self.param.data_param.prefetch
        if depth < 1:
            raise self.refuse("data_param.prefetch is 0", allowed="1 or more batches; 4 if unset")
        self.fail = fail_for(self.name, self.kind)
        random = self.context.random
        if self.param.transform_param.HasField("mean_file"):
            path = self.param.transform_param.mean_file
            self.context.log("data_transformer.cpp:25", f"Loading mean file from: {path}")
        transformer = Transformer(self.param.transform_param, self.phase == TRAIN, self.fail)
        transformer.seed(random)
        loader = self.open(transformer)
        self._shapes = loader.shapes
        sizes = ",".join(map(str, loader.shapes[0]))
        self.context.log(self.size_told_at, f"output data size: {sizes}")
        transformer.seed(random)
        random.draw()
        self._prefetch = Prefetch(loader.fill, depth, self.context.device, self.fail)
        # Also when the net is dropped without close, and at the interpreter's exit.
        self._end = weakref.finalize(self, _end, self._prefetch, loader)

    def open(self, transformer: Transformer) -> Loader:
        """Judge the parameters, open the source. Raises DefinitionError, DataError."""
        raise NotImplementedError(self.kind)

    def batch_size(self, value: int, field: str) -> int:
        """A judged batch size. Raises DefinitionError."""
        if value < 1:
            raise self.refuse(f"{field} is {value}", allowed="1 or more")
        return value

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self._shapes

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        tops = self._prefetch.take()
        self._shapes = [tuple(top.shape) for top in tops]
        return tops

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return []

    def close(self) -> None:
        if hasattr(self, "_end"):
            self._end()


def _end(prefetch: Prefetch, loader: Loader) -> None:
    # A thread that hangs in a read keeps its files: taking a mapping away would kill the process.
    if prefetch.close():
        loader.close()


__all__ = ["Fail", "Loader", "PrefetchingData", "Slot", "Transformer"]
