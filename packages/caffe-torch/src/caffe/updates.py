"""From gradients to weights: Caffe's six solver types.

An update takes the sum of gradients over ``iter_size`` passes in ``diff``, makes it their mean,
adds weight decay, turns it into the update value, which stays visible in ``diff``, and subtracts
that from ``data``. The rate is inside the history of momentum, unlike in torch.optim.

In the rules, g is the gradient, r the rate times lr_mult, m ``momentum``, h and u the history,
δ ``delta``. Scalars are computed in float32 where Caffe does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from caffe.errors import DefinitionError
from caffe.flat import FlatParameters

Tensor = torch.Tensor


@dataclass(frozen=True)
class Numbers:
    """What the rules read of a solver definition; float32 values."""

    momentum: float
    momentum2: float
    delta: float
    rms_decay: float


@dataclass(frozen=True)
class Part:
    """One segment at one update. ``diff`` holds g, and the update value afterwards; ``scratch``
    is for intermediate results."""

    diff: Tensor
    history: list[Tensor]
    scratch: list[Tensor]
    rate: float
    iteration: int


@dataclass(frozen=True)
class Rule:
    """How a solver type makes the update value, and how many flat tensors it needs for that."""

    history: int
    scratch: int
    update: Callable[[Numbers, Part], None]
    judge: Callable[[Any], None] = lambda solver_param: None


class Update:
    """One solver's update and its history.

    ``history`` has a view per learnable blob in Caffe's order: all gradients' histories first,
    then, for AdaDelta and Adam, the second ones. Raises DefinitionError for an unknown type, for
    numbers that the type cannot work with, and for an unknown ``regularization_type``.
    """

    def __init__(self, solver_param: Any, flat: FlatParameters) -> None:
        rule = _rule(solver_param)
        self._update = rule.update
        self._numbers = Numbers(
            solver_param.momentum,
            solver_param.momentum2,
            solver_param.delta,
            solver_param.rms_decay,
        )
        self._flat = flat
        self._scale = float(np.float32(1) / np.float32(solver_param.iter_size))
        history = [flat.like() for _ in range(rule.history)]
        scratch = [flat.like() for _ in range(rule.scratch)]
        self.history = [view for tensor in history for view in flat.views(tensor)]
        self._parts = []
        for segment in flat.segments:
            where = slice(segment.start, segment.stop)
            decay = float(np.float32(solver_param.weight_decay) * np.float32(segment.decay_mult))
            self._parts.append(
                _Segment(
                    flat.data[where],
                    flat.diff[where],
                    [tensor[where] for tensor in history],
                    [tensor[where] for tensor in scratch],
                    np.float32(segment.lr_mult),
                    decay,
                    _penalty(solver_param) if decay else _no_penalty,
                )
            )

    def apply(self, rate: float, iteration: int) -> None:
        """One update at ``rate``; ``iteration`` is how many there were before."""
        if self._scale != 1:
            self._flat.diff.mul_(self._scale)
        for part in self._parts:
            part.penalty(part.diff, part.data, part.decay)
            local_rate = float(np.float32(rate) * part.lr_mult)
            self._update(
                self._numbers,
                Part(part.diff, part.history, part.scratch, local_rate, iteration),
            )
        self._flat.data.sub_(self._flat.diff)

    def clip(self, clip_gradients: float) -> tuple[float, float] | None:
        """Scale the summed gradients down to a norm of ``clip_gradients`` if they are above it;
        gives the norm and the factor if so. Negative: never."""
        if clip_gradients < 0:
            return None
        norm = math.sqrt(self.sumsq_diff())
        if not norm > clip_gradients:
            return None
        factor = float(np.float32(clip_gradients) / np.float32(norm))
        self._flat.diff.mul_(factor)
        return norm, factor

    def sumsq_diff(self) -> float:
        """The sum of squares of all gradients."""
        return _sumsq(self._flat.views(self._flat.diff))


@dataclass(frozen=True)
class _Segment:
    data: Tensor
    diff: Tensor
    history: list[Tensor]
    scratch: list[Tensor]
    lr_mult: np.float32
    decay: float
    penalty: Callable[[Tensor, Tensor, float], None]


def _sgd(numbers: Numbers, part: Part) -> None:
    """h ← m·h + r·g; the update is h."""
    (history,) = part.history
    history.mul_(numbers.momentum).add_(part.diff, alpha=part.rate)
    part.diff.copy_(history)


def _nesterov(numbers: Numbers, part: Part) -> None:
    """h' ← m·h + r·g; the update is (1 + m)·h' - m·h."""
    (history,), (back,) = part.history, part.scratch
    torch.mul(history, -numbers.momentum, out=back)
    history.mul_(numbers.momentum).add_(part.diff, alpha=part.rate)
    torch.add(back, history, alpha=_sum(1, numbers.momentum), out=part.diff)


def _adagrad(numbers: Numbers, part: Part) -> None:
    """h ← h + g²; the update is r·g / (√h + δ)."""
    (history,), (scratch,) = part.history, part.scratch
    history.add_(torch.mul(part.diff, part.diff, out=scratch))
    part.diff.div_(torch.sqrt(history, out=scratch).add_(numbers.delta)).mul_(part.rate)


def _rmsprop(numbers: Numbers, part: Part) -> None:
    """h ← d·h + (1 - d)·g² with d ``rms_decay``; the update is r·g / (√h + δ)."""
    (history,), (scratch,) = part.history, part.scratch
    _decay(history, numbers.rms_decay, torch.mul(part.diff, part.diff, out=scratch))
    part.diff.div_(torch.sqrt(history, out=scratch).add_(numbers.delta)).mul_(part.rate)


def _adadelta(numbers: Numbers, part: Part) -> None:
    """h ← m·h + (1 - m)·g², v = g·√((u + δ) / (h + δ)), u ← m·u + (1 - m)·v²; the update is
    r·v."""
    (gradients, updates), (scratch, ratio) = part.history, part.scratch
    _decay(gradients, numbers.momentum, torch.mul(part.diff, part.diff, out=scratch))
    torch.add(gradients, numbers.delta, out=scratch)
    torch.add(updates, numbers.delta, out=ratio).div_(scratch).sqrt_()
    part.diff.mul_(ratio)
    _decay(updates, numbers.momentum, torch.mul(part.diff, part.diff, out=scratch))
    part.diff.mul_(part.rate)


def _adam(numbers: Numbers, part: Part) -> None:
    """h ← m·h + (1 - m)·g, u ← n·u + (1 - n)·g² with n ``momentum2``; the update is
    r·√(1 - nᵗ) / (1 - mᵗ) · h / (√u + δ) at the t-th update. δ is added before the correction."""
    (first, second), (scratch,) = part.history, part.scratch
    _decay(first, numbers.momentum, part.diff)
    _decay(second, numbers.momentum2, torch.mul(part.diff, part.diff, out=scratch))
    torch.sqrt(second, out=scratch).add_(numbers.delta)
    torch.div(first, scratch, out=part.diff).mul_(_adam_rate(numbers, part))


def _adam_rate(numbers: Numbers, part: Part) -> float:
    """The powers are Caffe's in double; with m = 1 the rate is infinite or no number, as there."""
    updates = part.iteration + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.float64(1) - np.float64(numbers.momentum) ** updates
        correction = np.sqrt(np.float64(1) - np.float64(numbers.momentum2) ** updates) / kept
        return float(np.float32(part.rate) * np.float32(correction))


def _decay(history: Tensor, kept: float, new: Tensor) -> None:
    history.mul_(kept).add_(new, alpha=_sum(1, -kept))


def _sum(one: float, other: float) -> float:
    return float(np.float32(one) + np.float32(other))


def _no_momentum(name: str) -> Callable[[Any], None]:
    def judge(solver_param: Any) -> None:
        if solver_param.momentum != 0:
            raise DefinitionError(
                f"Momentum cannot be used with {name}. The solver has momentum: "
                f"{solver_param.momentum:g}",
                allowed="0",
                next_step="take momentum out of the solver, or choose another type",
            )

    return judge


def _judge_rmsprop(solver_param: Any) -> None:
    _no_momentum("RMSProp")(solver_param)
    if not 0 <= solver_param.rms_decay < 1:
        raise DefinitionError(
            f"rms_decay should lie between 0 and 1. The solver has {solver_param.rms_decay:g}",
            allowed="from 0 to below 1",
        )


UPDATES = {
    "SGD": Rule(1, 0, _sgd),
    "Nesterov": Rule(1, 1, _nesterov),
    "AdaGrad": Rule(1, 1, _adagrad, _no_momentum("AdaGrad")),
    "RMSProp": Rule(1, 1, _rmsprop, _judge_rmsprop),
    "AdaDelta": Rule(2, 2, _adadelta),
    "Adam": Rule(2, 1, _adam),
}
"""Caffe's name of a solver type, and what it does. A new type is a function and a row."""


def _rule(solver_param: Any) -> Rule:
    if solver_param.type not in UPDATES:
        raise DefinitionError(
            f'unknown solver type "{solver_param.type}"', allowed=", ".join(sorted(UPDATES))
        )
    rule = UPDATES[solver_param.type]
    rule.judge(solver_param)
    # Caffe takes any iter_size and divides by it; below 1 it would learn nothing but NaN.
    if solver_param.iter_size < 1:
        raise DefinitionError(f"iter_size: {solver_param.iter_size}", allowed="1 or more")
    return rule


def _l2(diff: Tensor, data: Tensor, decay: float) -> None:
    diff.add_(data, alpha=decay)


def _l1(diff: Tensor, data: Tensor, decay: float) -> None:
    diff.add_(data.sign(), alpha=decay)


def _no_penalty(diff: Tensor, data: Tensor, decay: float) -> None:
    """Without decay no regularization_type is asked for."""


PENALTIES = {"L1": _l1, "L2": _l2}


def _penalty(solver_param: Any) -> Callable[[Tensor, Tensor, float], None]:
    if solver_param.regularization_type not in PENALTIES:
        raise DefinitionError(
            f'unknown regularization_type "{solver_param.regularization_type}"',
            allowed=" or ".join(sorted(PENALTIES)),
        )
    return PENALTIES[solver_param.regularization_type]


def _sumsq(tensors: list[Tensor]) -> float:
    if not tensors:
        return 0.0
    return float(torch.stack([tensor.square().sum() for tensor in tensors]).sum())
