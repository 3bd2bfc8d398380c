"""Embed: y = weight[x] + bias; a row of the weights for each whole number of the bottom.

Learnable blobs: weights (input_dim, num_output), then bias (num_output,). The top has one more axis
than the bottom. A fraction is cut off, as in Caffe. A number outside 0 … input_dim - 1 reads beyond
the weights in Caffe; here it is refused. There is no gradient for the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.errors import DataError
from caffe.layers.base import Layer, Shape, Tensor


class Embed(Layer):
    kind = "Embed"
    reads_bottoms = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.embed_param
        self._rows: int = param.input_dim
        self._outputs: int = param.num_output
        self._bias: bool = param.bias_term
        for name in ("num_output", "input_dim"):
            if getattr(param, name) < 1:
                raise self.refuse(f"{name} is 0", allowed="1 or more")
        self.add_learnable((self._rows, self._outputs), param.weight_filler)
        if self._bias:
            self.add_learnable((self._outputs,), param.bias_filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(*bottoms[0], self._outputs)]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        self._index = bottoms[0].long()
        self._judge(self._index)
        y = torch.nn.functional.embedding(self._index, self.learnable[0].data)
        return [y.add_(self.learnable[1].data) if self._bias else y]

    def _judge(self, index: Tensor) -> None:
        """Raises DataError for an index without a row."""
        if index.numel() == 0:
            return
        least, most = (int(value) for value in index.aminmax())
        if least < 0 or most >= self._rows:
            raise DataError(
                f'layer "{self.name}" (Embed): the bottom has the index '
                f"{least if least < 0 else most}",
                allowed=f"0 to input_dim - 1, which is {self._rows - 1}",
                next_step="mend the data, or make input_dim larger",
            )

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        self._index = bottoms[0].long()
        self._judge(self._index)

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if wanted[0]:
            raise self.refuse(
                "has no gradient for its bottom, which holds indices",
                next_step="put propagate_down: false into this layer",
            )
        diff = diffs[0].reshape(-1, self._outputs)
        if self.learns[0]:
            self.learnable[0].diff.index_add_(0, self._index.reshape(-1), diff)
        if self._bias and self.learns[1]:
            self.add_gradient(1, diff.sum(0))
        return [None]

    def may_force_backward(self, bottom: int) -> bool:
        return False
