"""Caffe's log lines as events. Pure.

The lines are those of BVLC Caffe 1.0.0 (solver.cpp, sgd_solver.cpp) behind glog's prefix
``I1123 05:55:00.016389     7 solver.cpp:239] ``; anything before the prefix is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """The solver says how many iterations there will be."""

    max_iter: int


@dataclass(frozen=True)
class Trained:
    """``rate`` is in iterations a second, 0 where Caffe does not say."""

    iteration: int
    loss: float
    rate: float = 0.0


@dataclass(frozen=True)
class Evaluating:
    iteration: int
    net: int


@dataclass(frozen=True)
class Evaluated:
    name: str
    value: float


@dataclass(frozen=True)
class Rate:
    """The learning rate from ``iteration`` on."""

    iteration: int
    rate: float


@dataclass(frozen=True)
class Snapshot:
    """``path`` is as the container sees it."""

    path: str


@dataclass(frozen=True)
class Ended:
    """``early`` when somebody asked for it."""

    early: bool


@dataclass(frozen=True)
class Fatal:
    """Caffe gave up: a failed CHECK or another fatal message."""

    message: str


Event = Planned | Trained | Evaluating | Evaluated | Rate | Snapshot | Ended | Fatal

_PREFIX = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [^ \]]+:\d+\] ")
_NUMBER = r"([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))"
_PLANNED = re.compile(r"max_iter: *(\d+)\s*$")

_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Event]], ...] = (
    (
        re.compile(rf"Iteration (\d+) \({_NUMBER} iter/s, .*\), loss = {_NUMBER}"),
        lambda m: Trained(int(m[1]), float(m[3]), float(m[2])),
    ),
    (
        re.compile(rf"Iteration (\d+), loss = {_NUMBER}"),
        lambda m: Trained(int(m[1]), float(m[2])),
    ),
    (
        re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)"),
        lambda m: Evaluating(int(m[1]), int(m[2])),
    ),
    (
        re.compile(rf" *Test net output #\d+: (\S+) = {_NUMBER}"),
        lambda m: Evaluated(m[1], float(m[2])),
    ),
    (
        re.compile(rf"Iteration (\d+), lr = {_NUMBER}"),
        lambda m: Rate(int(m[1]), float(m[2])),
    ),
    (re.compile(r"Snapshotting to \S+ \S+ file (.+)"), lambda m: Snapshot(m[1])),
    (re.compile(r"Snapshotting to HDF5 file (.+)"), lambda m: Snapshot(m[1])),
    (re.compile(r"Optimization Done\."), lambda m: Ended(early=False)),
    (re.compile(r"Optimization stopped early\."), lambda m: Ended(early=True)),
)


def event_of(line: str) -> Event | None:
    """What ``line`` tells, or None."""
    prefix = _PREFIX.search(line)
    if prefix is None:
        planned = _PLANNED.match(line)
        return Planned(int(planned[1])) if planned else None
    text = line[prefix.end() :]
    if prefix[1] == "F":
        return Fatal(text.strip())
    for pattern, build in _RULES:
        if match := pattern.match(text):
            return build(match)
    return None
