"""LSTMUnit: one step of an LSTM after its matrix products.

With the gates i, f, o through a sigmoid and g through tanh, in this order in the second bottom:
c = cont·f·c_prev + i·g, h = o·tanh(c). Bottoms: c_prev 1×N×D, gates 1×N×4D, cont 1×N. Tops: c, h.

The gradient to gate f is Caffe's: with F = cont·f it is F·(1 − F), which is the derivative where
cont is 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from caffe.layers.base import Layer, Shape, Tensor, text


@dataclass(frozen=True, slots=True)
class Step:
    """What the gradient of a step needs, N×D each; ``forget`` is cont·f."""

    before: Tensor
    take: Tensor
    forget: Tensor
    give: Tensor
    new: Tensor
    squashed: Tensor


def forward_step(before: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor, Step]:
    """c and h (N×D) from c_prev (N×D), gates (N×4D) and cont (N×1)."""
    size = before.shape[1]
    take, forget, give = gates[:, : 3 * size].sigmoid().chunk(3, 1)
    new = gates[:, 3 * size :].tanh()
    forget = forget * cont
    cell = torch.addcmul(take * new, forget, before)
    squashed = cell.tanh()
    return cell, give * squashed, Step(before, take, forget, give, new, squashed)


def backward_step(step: Step, cell: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients to c_prev and gates from those of c and h."""
    through = cell + hidden * step.give * (1 - step.squashed * step.squashed)
    gates = torch.cat(
        [
            through * step.new * step.take * (1 - step.take),
            through * step.before * step.forget * (1 - step.forget),
            hidden * step.squashed * step.give * (1 - step.give),
            through * step.take * (1 - step.new * step.new),
        ],
        1,
    )
    return through * step.forget, gates


class LSTMUnit(Layer):
    kind = "LSTMUnit"
    reads_bottoms = True
    reads_tops = True
    bottoms = (3, 3)
    tops = (2, 2)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        before, gates, cont = bottoms
        fits = len(before) == 3 and before[0] == 1
        if not fits or gates != (1, before[1], 4 * before[2]) or cont != (1, before[1]):
            raise self.misfit(
                f"its bottoms have shapes {', '.join(text(shape) for shape in bottoms)}",
                allowed="1×N×D, 1×N×4D and 1×N",
            )
        return [before, before]

    def forward(self, bottoms: list[Tensor]) -> list[Tensor]:
        before, gates, cont = bottoms
        cell, hidden, self._step = forward_step(before[0], gates[0], cont[0].unsqueeze(1))
        return [cell.unsqueeze(0), hidden.unsqueeze(0)]

    def reread(self, bottoms: list[Tensor], tops: list[Tensor]) -> None:
        before, gates, cont = bottoms
        _, _, step = forward_step(before[0], gates[0], cont[0].unsqueeze(1))
        self._step = replace(step, squashed=tops[0][0].tanh())

    def backward(self, diffs: list[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
        if wanted[2]:
            raise self.refuse(
                "cannot backpropagate to sequence indicators, its third bottom",
                next_step="give them from a data layer, or say propagate_down: false for them",
            )
        before, gates = backward_step(self._step, diffs[0][0], diffs[1][0])
        return [
            before.unsqueeze(0) if wanted[0] else None,
            gates.unsqueeze(0) if wanted[1] else None,
            None,
        ]

    def may_force_backward(self, bottom: int) -> bool:
        return bottom != 2
