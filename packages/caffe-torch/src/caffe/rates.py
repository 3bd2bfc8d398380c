"""The learning rate at an iteration: Caffe's seven policies.

i is the iteration, b ``base_lr``, γ ``gamma``. Caffe computes in float32, but a power whose
exponent is a whole number in float64; so do we, as the rate stands in logs and moves all weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from caffe.errors import DefinitionError

_F = np.float32


@dataclass(frozen=True)
class Policy:
    """``factor(rate, iteration)`` is what base_lr is multiplied with; ``needs`` are the fields
    that are judged."""

    factor: Callable[[Rate, int], Any]
    needs: tuple[str, ...] = ()


class Rate:
    """A solver's rate. ``current_step`` is state: snapshots keep it.

    Raises DefinitionError for an unknown ``lr_policy`` and for values that Caffe aborts on.
    """

    def __init__(self, solver_param: Any) -> None:
        name = solver_param.lr_policy
        if name not in POLICIES:
            raise DefinitionError(
                f'unknown lr_policy "{name}"',
                allowed=", ".join(POLICIES),
                next_step="" if name else 'write lr_policy: "fixed" for a constant rate',
            )
        policy = POLICIES[name]
        for field in policy.needs:
            value = getattr(solver_param, field)
            allowed, is_allowed = _ALLOWED[field]
            if not is_allowed(value):
                raise DefinitionError(
                    f'lr_policy "{name}" with {field}: {value:g}', allowed=f"{field} {allowed}"
                )
        self._factor = policy.factor
        self.base_lr = _F(solver_param.base_lr)
        self.gamma = _F(solver_param.gamma)
        self.power = _F(solver_param.power)
        self.stepsize = int(solver_param.stepsize)
        self.max_iter = int(solver_param.max_iter)
        self.stepvalues = list(solver_param.stepvalue)
        self.current_step = 0

    def at(self, iteration: int) -> float:
        """The rate of the update after ``iteration`` updates, a float32 value.

        To be asked once for each iteration in turn: "multistep" goes at most one step at a call.
        """
        with np.errstate(all="ignore"):
            return float(_F(self.base_lr * self._factor(self, iteration)))


def _fixed(rate: Rate, iteration: int) -> Any:
    """1"""
    return _F(1)


def _step(rate: Rate, iteration: int) -> Any:
    """γ^⌊i / stepsize⌋"""
    rate.current_step = iteration // rate.stepsize
    return _power(rate.gamma, rate.current_step)


def _exp(rate: Rate, iteration: int) -> Any:
    """γ^i"""
    return _power(rate.gamma, iteration)


def _inv(rate: Rate, iteration: int) -> Any:
    """(1 + γ·i)^-power, by the C library's powf, whose last bit is not always the nearest"""
    return (_F(1) + rate.gamma * _F(iteration)) ** -rate.power


def _multistep(rate: Rate, iteration: int) -> Any:
    """γ^(how many stepvalues were reached)"""
    step = rate.current_step
    if step < len(rate.stepvalues) and iteration >= rate.stepvalues[step]:
        rate.current_step += 1
    return _power(rate.gamma, rate.current_step)


def _poly(rate: Rate, iteration: int) -> Any:
    """(1 - i / max_iter)^power"""
    return (_F(1) - _F(iteration) / _F(rate.max_iter)) ** rate.power


def _sigmoid(rate: Rate, iteration: int) -> Any:
    """1 / (1 + exp(-γ·(i - stepsize)))"""
    exponent = -rate.gamma * (_F(iteration) - _F(rate.stepsize))
    return _F(1) / (_F(1) + _F(np.exp(np.float64(exponent))))


def _power(base: Any, exponent: int) -> np.float64:
    power: np.float64 = np.float64(base) ** np.float64(exponent)
    return power


POLICIES = {
    "fixed": Policy(_fixed),
    "step": Policy(_step, ("stepsize", "gamma")),
    "exp": Policy(_exp, ("gamma",)),
    "inv": Policy(_inv, ("gamma",)),
    "multistep": Policy(_multistep, ("gamma",)),
    "poly": Policy(_poly),
    "sigmoid": Policy(_sigmoid, ("gamma", "stepsize")),
}
"""Caffe's name of a policy, and its formula. A new policy is a function and a row."""

_ALLOWED: dict[str, tuple[str, Callable[[float], bool]]] = {
    "gamma": ("0 or more", lambda value: value >= 0),
    "stepsize": ("1 or more", lambda value: value > 0),
}
