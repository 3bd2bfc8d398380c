"""DummyData: tops that fillers fill; one shape and one filler for all tops, or one for each.

A constant is filled once, the others draw again at each forward and not before, as in Caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe import fillers
from caffe.layers.base import Layer, Shape, Tensor
from caffe.layers.input import shapes_of_tops
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2
_LEGACY = ("num", "channels", "height", "width")


class DummyData(Layer):
    kind = "DummyData"
    bottoms = (0, 0)
    tops = (1, None)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.dummy_data_param
        tops = len(self.param.top)
        given = list(param.data_filler) or [_pb2.FillerParameter()]
        if len(given) not in (1, tops):
            raise self.refuse(
                f"has {len(given)} data_filler for {tops} tops",
                allowed="none, one for all tops, or one for each",
            )
        self._fillers = given * tops if len(given) == 1 else given
        self._shapes = self._read_shapes(param)
        self._constants = [
            self._fill(index) if filler.type == "constant" else None
            for index, filler in enumerate(self._fillers)
        ]

    def _read_shapes(self, param: Any) -> list[Shape]:
        if not any(len(getattr(param, field)) for field in _LEGACY):
            return shapes_of_tops(self, param.shape, none_is_scalar=False)
        if len(param.shape):
            raise self.refuse(
                "has both shape and the old fields num, channels, height, width",
                next_step="take the old fields away",
            )
        tops = len(self.param.top)
        columns = []
        for field in _LEGACY:
            sizes = list(getattr(param, field))
            if len(sizes) not in (1, tops):
                raise self.refuse(
                    f"has {len(sizes)} {field} for {tops} tops",
                    allowed=f"one {field} for all tops, or one for each",
                    next_step="say shape { dim: … } instead",
                )
            columns.append(sizes * tops if len(sizes) == 1 else sizes)
        return list(zip(*columns, strict=True))

    def _fill(self, index: int) -> Tensor:
        filled = fillers.fill(
            self._fillers[index], self._shapes[index], self.context.random, self.refuse
        )
        return filled.to(self.context.device)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self._shapes

    def constants(self) -> dict[int, Tensor]:
        return {
            index: constant.clone()
            for index, constant in enumerate(self._constants)
            if constant is not None
        }

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        return [
            self._fill(index) if constant is None else constant
            for index, constant in enumerate(self._constants)
        ]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return []
