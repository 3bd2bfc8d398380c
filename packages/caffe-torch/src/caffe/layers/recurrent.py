"""What RNN and LSTM share: sequences of T steps in N streams, T×N×…, with ``cont`` (T×N), which
is 0 where a sequence begins, and with hidden states that live on from one forward to the next.

Bottoms: x, cont, then optionally a static input N×… that every step sees, then with
expose_hidden the states before the first step (1×N×D each). Tops: the outputs T×N×D, then with
expose_hidden the states after the last step. Learnable blobs: W_x, b, W_static where there is a
static input, then those of a step.

No gradient flows into earlier forward calls, nor, as in Caffe, through exposed states: their
gradient is 0. Caffe unrolls a net over the T steps and fills each copy of a step's blobs before
it throws all but the first away, so the same random numbers are drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch

from caffe import fillers
from caffe.layers.base import Layer, Shape, Tensor, text


class Recurrent(Layer):
    """``states`` names the hidden states, ``gates`` is how many numbers per output a step takes.

    A type says its blobs of a step and how to run the steps.
    """

    states: ClassVar[tuple[str, ...]] = ()
    gates: ClassVar[int] = 1
    reads_bottoms = True
    reads_tops = True

    def step_blobs(self) -> list[tuple[Shape, bool]]:
        """Shapes of the learnable blobs of a step, and whether each is a bias."""
        raise NotImplementedError(self.kind)

    def run(self, drive: Tensor, cont: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """All steps: what the inputs say (T×N×gates·D), cont (T×N×1) and the states (N×D) to the
        outputs (T×N×D) and the states afterwards."""
        raise NotImplementedError(self.kind)

    def run_back(self, diff: Tensor) -> Tensor:
        """From the outputs' gradient to that of ``drive``; adds those of the step's blobs."""
        raise NotImplementedError(self.kind)

    def reread_states(self, before: list[Tensor], after: list[Tensor]) -> None:
        """Go back with these states (N×D) before the first step and after the last."""

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.param.recurrent_param
        self.size = int(param.num_output)
        if not self.size:
            raise self.refuse("has num_output 0", allowed="recurrent_param { num_output } above 0")
        self._exposed = len(self.states) if param.expose_hidden else 0
        self._judge_counts(len(bottoms), len(self.param.top))
        self._static = len(bottoms) > 2 + self._exposed
        self.steps = bottoms[0][0] if bottoms[0] else 0
        self._judge(bottoms)
        self._state: list[Tensor] = []
        width = self.gates * self.size
        self.add_learnable((width, math.prod(bottoms[0][2:])), param.weight_filler)
        self.add_learnable((width,), param.bias_filler)
        if self._static:
            self.add_learnable((width, math.prod(bottoms[2][1:])), param.weight_filler)
        self.first_step_blob = len(self.learnable)
        blobs = [
            (shape, param.bias_filler if is_bias else param.weight_filler)
            for shape, is_bias in self.step_blobs()
        ]
        for shape, filler in blobs:
            self.add_learnable(shape, filler)
        for shape, filler in blobs * (self.steps - 1):
            if filler.type != "constant":
                fillers.fill(filler, shape, self.context.random, self.refuse)

    def _judge_counts(self, bottoms: int, tops: int) -> None:
        hidden = self._exposed
        if bottoms not in (2 + hidden, 3 + hidden) or tops != 1 + hidden:
            names = ", ".join(self.states)
            raise self.refuse(
                f"has {bottoms} bottoms and {tops} tops",
                allowed=f"{2 + hidden} bottoms, {3 + hidden} with a static input, and "
                f"{1 + hidden} tops"
                + (f" (expose_hidden: {names} are bottoms and tops)" if hidden else ""),
            )

    def _judge(self, bottoms: Sequence[Shape]) -> None:
        x, cont = bottoms[0], bottoms[1]
        if len(x) < 3:
            raise self.misfit(f"its input has shape {text(x)}", allowed="steps×streams×…")
        if x[0] != self.steps:
            raise self.misfit(
                f"its input has {x[0]} steps now", allowed=f"{self.steps} as at first"
            )
        if cont != x[:2]:
            raise self.misfit(
                f"the sequence indicators have shape {text(cont)}, the input {text(x)}",
                allowed=f"{text(x[:2])}, one per step and stream",
            )
        if self._static and bottoms[2][:1] != x[1:2]:
            raise self.misfit(
                f"the static input has shape {text(bottoms[2])}",
                allowed=f"{x[1]}×…, one row per stream",
            )
        hidden = bottoms[len(bottoms) - self._exposed :]
        for name, shape in zip(self.states, hidden, strict=False):
            if shape != (1, x[1], self.size):
                raise self.misfit(
                    f"the hidden state {name} has shape {text(shape)}",
                    allowed=text((1, x[1], self.size)),
                )

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._judge(bottoms)
        streams = bottoms[0][1]
        return [(self.steps, streams, self.size), *[(1, streams, self.size)] * self._exposed]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        x, cont = bottoms[0], bottoms[1]
        streams = x.shape[1]
        weight, bias = self.learnable[0].data, self.learnable[1].data
        flat = x.reshape(self.steps * streams, -1)
        drive = torch.addmm(bias, flat, weight.t()).view(self.steps, streams, -1)
        static = bottoms[2].reshape(streams, -1) if self._static else None
        if static is not None:
            drive += static @ self.learnable[2].data.t()
        if self._exposed:
            states = [state.view(streams, -1) for state in bottoms[-self._exposed :]]
        else:
            states = self._remembered(streams, x)
        # Caffe cuts cont into its steps by a Slice, which is a copy; backward reads that.
        outputs, states = self.run(drive, cont.unsqueeze(2).clone(), states)
        self._inputs = (flat, static, [bottom.shape for bottom in bottoms])
        if self._exposed:
            return [outputs, *[state.unsqueeze(0) for state in states]]
        self._remember(states)
        return [outputs]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        streams = bottoms[0].shape[1]
        static = bottoms[2].reshape(streams, -1) if self._static else None
        flat = bottoms[0].reshape(self.steps * streams, -1)
        self._inputs = (flat, static, [bottom.shape for bottom in bottoms])
        if self._exposed:
            self.reread_states(
                [state.view(streams, -1) for state in bottoms[-self._exposed :]],
                [state.view(streams, -1) for state in tops[-self._exposed :]],
            )

    def _remembered(self, streams: int, like: Tensor) -> list[Tensor]:
        """The states of the last forward, at first zeros; zeros again, as in Caffe, when there are
        more streams than ever."""
        if not self._state or len(self._state[0]) < streams:
            self._state = [like.new_zeros(streams, self.size) for _ in self.states]
        return [state[:streams] for state in self._state]

    def _remember(self, states: list[Tensor]) -> None:
        """Streams that are not there now keep their states."""
        streams = len(states[0])
        self._state = [
            now if len(before) == streams else torch.cat([now, before[streams:]])
            for now, before in zip(states, self._state, strict=True)
        ]

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if wanted[1]:
            raise self.refuse(
                "cannot backpropagate to sequence indicators, its second bottom",
                next_step="give them from a data layer, or say propagate_down: false for them",
            )
        flat, static, shapes = self._inputs
        drive = self.run_back(diffs[0])
        rows = drive.view(len(flat), -1)
        if self.learns[0]:
            self.add_gradient(0, rows.t() @ flat)
        if self.learns[1]:
            self.add_gradient(1, rows.sum(0))
        found: list[Tensor | None] = [
            rows.new_zeros(shape) if want else None
            for shape, want in zip(shapes, wanted, strict=True)
        ]
        if wanted[0]:
            found[0] = (rows @ self.learnable[0].data).view(shapes[0])
        if static is not None:
            summed = drive.sum(0)
            if self.learns[2]:
                self.add_gradient(2, summed.t() @ static)
            if wanted[2]:
                found[2] = (summed @ self.learnable[2].data).view(shapes[2])
        return found

    def may_force_backward(self, bottom: int) -> bool:
        return bottom != 1
