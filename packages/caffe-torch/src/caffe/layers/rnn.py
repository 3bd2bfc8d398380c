"""RNN: h_t = tanh(W_hh·(cont_t·h_{t−1}) + W_xh·x_t + b_h), o_t = tanh(W_ho·h_t + b_o).

Learnable blobs: W_xh, b_h, W_xh_static where there is a static input, W_hh, W_ho, b_o. torch's
RNN has neither cont nor the second tanh. The rest is in :mod:`caffe.layers.recurrent`.
"""

from __future__ import annotations

import torch

from caffe.layers.base import Shape, Tensor
from caffe.layers.recurrent import Recurrent


class RNN(Recurrent):
    kind = "RNN"
    bottoms = (2, 4)
    tops = (1, 2)
    states = ("h",)
    gates = 1

    def step_blobs(self) -> list[tuple[Shape, bool]]:
        square = (self.size, self.size)
        return [(square, False), (square, False), ((self.size,), True)]

    def run(self, drive: Tensor, cont: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        recurrent, readout, bias = (
            blob.data for blob in self.learnable[self.first_step_blob : self.first_step_blob + 3]
        )
        across = recurrent.t()
        hidden = states[0]
        before, after = [], []
        for step in range(self.steps):
            continued = hidden * cont[step]
            hidden = torch.addmm(drive[step], continued, across).tanh_()
            before.append(continued)
            after.append(hidden)
        outputs = torch.tanh(torch.stack(after) @ readout.t() + bias)
        self._kept = (cont, before, after, outputs)
        return outputs, [hidden]

    def reread_states(self, before: list[Tensor], after: list[Tensor]) -> None:
        self._kept[2][-1] = after[0]

    def run_back(self, diff: Tensor) -> Tensor:
        cont, before, after, outputs = self._kept
        first = self.first_step_blob
        recurrent, readout = self.learnable[first].data, self.learnable[first + 1].data
        read = diff * (1 - outputs * outputs)
        hidden = read @ readout
        drive = torch.empty_like(hidden)
        carried = torch.zeros_like(hidden[0])
        for step in reversed(range(self.steps)):
            now = (hidden[step] + carried).mul_(1 - after[step] * after[step])
            drive[step] = now
            carried = (now @ recurrent).mul_(cont[step])
        flat_read, flat_drive = read.view(-1, self.size), drive.view(-1, self.size)
        if self.learns[first]:
            self.add_gradient(first, flat_drive.t() @ torch.cat(before))
        if self.learns[first + 1]:
            self.add_gradient(first + 1, flat_read.t() @ torch.cat(after))
        if self.learns[first + 2]:
            self.add_gradient(first + 2, flat_read.sum(0))
        return drive
