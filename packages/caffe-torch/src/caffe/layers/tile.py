"""Tile: the bottom ``tiles`` times after one another along ``axis``; the gradients add up."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.layers.base import Layer, Shape, Tensor


class Tile(Layer):
    kind = "Tile"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.tile_param
        self._tiles: int = param.tiles
        if self._tiles < 1:
            given = f"is {self._tiles}" if param.HasField("tiles") else "is missing"
            raise self.refuse(f"tile_param.tiles {given}", allowed="1 or more")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = tuple(bottoms[0])
        axis = self._axis = self.axis(self.param.tile_param.axis, shape)
        self._apart = (*shape[:axis], self._tiles, *shape[axis:])
        return [(*shape[:axis], self._tiles * shape[axis], *shape[axis + 1 :])]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        return [torch.cat([bottoms[0]] * self._tiles, self._axis)]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        return [diffs[0].reshape(self._apart).sum(self._axis) if wanted[0] else None]
