"""SPP: spatial pyramid pooling. Level i pools the bottom into 2^i by 2^i bins; the levels' values
follow one another in a row of N × (C · Σ 4^i).

A bin is ceil(size / 2^i) wide, and what is missing at the end is padded, half of it (rounded up) in
front: each level is Caffe's Pooling, with its last window dropped where that would begin beyond the
bottom. A pyramid of one level keeps the axes, N×C×1×1, as Caffe has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from caffe.layers.base import TRAIN, Layer, Shape, Tensor, text
from caffe.layers.pooling import Pooling
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2


class SPP(Layer):
    kind = "SPP"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._height: int = self.param.spp_param.pyramid_height
        if self._height < 1:
            raise self.refuse("pyramid_height is 0", allowed="1 or more")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        if len(shape) != 4:
            raise self.misfit(f"a bottom has shape {text(shape)}", allowed="N×C×H×W, four axes")
        self._levels = [self._level(2**level, shape) for level in range(self._height)]
        self._tops = [level.reshape([shape])[0] for level in self._levels]
        if self._height == 1:
            return [self._tops[0]]
        self._sizes = [math.prod(top[1:]) for top in self._tops]
        return [(shape[0], sum(self._sizes))]

    def _level(self, bins: int, shape: Shape) -> Pooling:
        param = _pb2.LayerParameter(name=self.name, type="Pooling", bottom=["x"], top=["y"])
        pooling = param.pooling_param
        pooling.pool = self.param.spp_param.pool
        for size, axis in zip(shape[2:], "hw", strict=True):
            kernel = -(-size // bins)
            pad = (kernel * bins - size + 1) // 2
            if pad >= kernel:
                raise self.misfit(
                    f"pyramid_height {self._height} needs {bins} bins along a side of {size} in a "
                    f"bottom of shape {text(shape)}",
                    next_step="make the pyramid lower or the bottom larger",
                )
            for name, value in (("kernel", kernel), ("stride", kernel), ("pad", pad)):
                setattr(pooling, f"{name}_{axis}", value)
        # Caffe makes the levels without a phase, which is TRAIN: STOCHASTIC draws in TEST as well.
        level = Pooling(param, replace(self.context, phase=TRAIN))
        level.setup([shape])
        return level

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        tops = [level.forward(bottoms)[0] for level in self._levels]
        return tops if self._height == 1 else [torch.cat([top.flatten(1) for top in tops], 1)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if not wanted[0]:
            return [None]
        parts = [diffs[0]] if self._height == 1 else diffs[0].split_with_sizes(self._sizes, 1)
        gradients = [
            level.backward([part.reshape(top)], [True])[0]
            for level, part, top in zip(self._levels, parts, self._tops, strict=True)
        ]
        return [torch.stack([found for found in gradients if found is not None]).sum(0)]
