"""LSTM: gates = W_hc·(cont_t·h_{t−1}) + W_xc·x_t + b_c, then :mod:`caffe.layers.lstm_unit`.

Learnable blobs: W_xc, b_c, W_xc_static where there is a static input, W_hc; the rows of each are
the gates i, f, o, g (torch's LSTM has i, f, g, o, and two biases). The rest is in
:mod:`caffe.layers.recurrent`.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from caffe.layers.base import Shape, Tensor
from caffe.layers.lstm_unit import backward_step, forward_step
from caffe.layers.recurrent import Recurrent


class LSTM(Recurrent):
    kind = "LSTM"
    bottoms = (2, 5)
    tops = (1, 3)
    states = ("h", "c")
    gates = 4

    def step_blobs(self) -> list[tuple[Shape, bool]]:
        return [((4 * self.size, self.size), False)]

    def run(self, drive: Tensor, cont: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        across = self.learnable[self.first_step_blob].data.t()
        hidden, cell = states
        before, after, steps = [], [], []
        for step in range(self.steps):
            continued = hidden * cont[step]
            gates = torch.addmm(drive[step], continued, across)
            cell, hidden, kept = forward_step(cell, gates, cont[step])
            before.append(continued)
            after.append(hidden)
            steps.append(kept)
        self._kept = (cont, before, steps)
        return torch.stack(after), [hidden, cell]

    def reread_states(self, before: list[Tensor], after: list[Tensor]) -> None:
        _, _, steps = self._kept
        steps[0] = replace(steps[0], before=before[1])
        steps[-1] = replace(steps[-1], squashed=after[1].tanh())

    def run_back(self, diff: Tensor) -> Tensor:
        cont, before, steps = self._kept
        first = self.first_step_blob
        recurrent = self.learnable[first].data
        drive = diff.new_empty(self.steps, diff.shape[1], 4 * self.size)
        hidden = cell = torch.zeros_like(diff[0])
        for step in reversed(range(self.steps)):
            cell, gates = backward_step(steps[step], cell, diff[step] + hidden)
            drive[step] = gates
            hidden = (gates @ recurrent).mul_(cont[step])
        if self.learns[first]:
            self.add_gradient(first, drive.view(-1, 4 * self.size).t() @ torch.cat(before))
        return drive
