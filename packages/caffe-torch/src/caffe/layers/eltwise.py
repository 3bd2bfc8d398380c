"""Eltwise: the sum (with coefficients), product or maximum of bottoms of one shape.

MAX at a tie: of the first two bottoms the second has the gradient, later bottoms must be strictly
greater (torch shares it out). PROD: the gradient is the product of the other bottoms, or with
``stable_prod_grad: false`` y / x, which is NaN at x = 0. Caffe takes the layer in place and gives
wrong sums and gradients; we refuse that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from caffe.layers.base import Layer, Shape, Tensor, text
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2
PROD = _pb2.EltwiseParameter.PROD
SUM = _pb2.EltwiseParameter.SUM


class Eltwise(Layer):
    kind = "Eltwise"
    reads_bottoms = True
    reads_tops = True
    bottoms = (2, None)
    _kept: tuple[list[Tensor], Tensor] | None = None
    """Bottoms and top for PROD; the number of the chosen bottom for MAX."""

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.eltwise_param
        self._operation: int = param.operation
        self._stable: bool = param.stable_prod_grad
        given = list(param.coeff)
        if given and len(given) != len(bottoms):
            raise self.refuse(
                f"has {len(given)} coeff for {len(bottoms)} bottoms", allowed="one each, or none"
            )
        if given and self._operation == PROD:
            raise self.refuse("has coeff with PROD", allowed="coeff with SUM only")
        self._coeff: list[float] = given or [1.0] * len(bottoms)
        self._plain = all(coeff == 1 for coeff in self._coeff)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        for index, shape in enumerate(bottoms):
            if tuple(shape) != tuple(bottoms[0]):
                raise self.misfit(
                    f"bottom 0 has shape {text(bottoms[0])}, bottom {index} has {text(shape)}",
                    allowed="bottoms of one shape",
                )
        return [bottoms[0]]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        if self._operation == SUM:
            return [self._sum(bottoms)]
        if self._operation == PROD:
            y = bottoms[0] * bottoms[1]
            for bottom in bottoms[2:]:
                y.mul_(bottom)
            self._kept = (list(bottoms), y)
            return [y]
        return [self._maximum(bottoms)]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        if self._operation == PROD:
            self._kept = (list(bottoms), tops[0])

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        diff = diffs[0]
        if self._operation == SUM:
            return [
                (diff if coeff == 1 else diff * coeff) if want else None
                for coeff, want in zip(self._coeff, wanted, strict=True)
            ]
        if self._kept is None:
            raise self.refuse("backward comes before forward")
        bottoms, kept = self._kept
        if self._operation == PROD:
            return [
                self._without(index, bottoms, kept).mul_(diff) if want else None
                for index, want in enumerate(wanted)
            ]
        zero = diff.new_zeros(())
        return [
            torch.where(kept == index, diff, zero) if want else None
            for index, want in enumerate(wanted)
        ]

    def _sum(self, bottoms: list[Tensor]) -> Tensor:
        if self._plain:
            y = bottoms[0] + bottoms[1]
        else:
            y = (bottoms[0] * self._coeff[0]).add_(bottoms[1], alpha=self._coeff[1])
        for bottom, coeff in zip(bottoms[2:], self._coeff[2:], strict=True):
            y.add_(bottom, alpha=coeff)
        return y

    def _maximum(self, bottoms: list[Tensor]) -> Tensor:
        first = bottoms[0] > bottoms[1]
        y = torch.where(first, bottoms[0], bottoms[1])
        chosen = torch.logical_not(first).to(torch.int32)
        for index, bottom in enumerate(bottoms[2:], 2):
            greater = bottom > y
            y = torch.where(greater, bottom, y)
            chosen.masked_fill_(greater, index)
        self._kept = ([], chosen)
        return y

    def _without(self, index: int, bottoms: list[Tensor], y: Tensor) -> Tensor:
        """The product of all bottoms but ``index``, in memory of its own."""
        if not self._stable:
            return y / bottoms[index]
        others = bottoms[:index] + bottoms[index + 1 :]
        if len(others) == 1:
            return others[0].clone()
        product = others[0] * others[1]
        for other in others[2:]:
            product.mul_(other)
        return product
