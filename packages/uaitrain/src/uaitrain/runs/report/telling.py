"""A log, read once: curves, the solver's text, the last lines. Pure.

A run that was started again has one log with all its attempts. Where iterations go back, what was
told of them before no longer holds: the later attempt trained them anew.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from uaitrain.runs.caffe_log import Event, Rate, Snapshot, Trained
from uaitrain.runs.record import Record, watch
from uaitrain.runs.report.model import Curve, Point

TAIL_LINES = 200
FIRST_LINES = 20
_SOLVER_LINES = 500

_TIME = re.compile(r"[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{6}) ")
_SOLVER_BEGINS = re.compile(r"solver\.cpp:\d+\] Initializing solver from parameters:")
_LEAP_YEAR = 2000
_HALF_A_YEAR = timedelta(days=183)


@dataclass
class Telling:
    """What the lines have told. ``seconds`` is the time between the first and the last of
    Caffe's lines, ``attempts`` how often a solver was made. ``first`` and ``tail`` are lines."""

    record: Record = field(default_factory=Record)
    losses: list[Point] = field(default_factory=list)
    accuracies: list[Point] = field(default_factory=list)
    learning_rates: list[Point] = field(default_factory=list)
    speeds: list[Point] = field(default_factory=list)
    solver: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    attempts: int = 0
    seconds: float = 0.0
    _last: datetime | None = None
    _in_solver: bool = False
    _fresh: bool = True

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Those that have a point."""
        all_of_them = (
            Curve("loss", "Loss", tuple(self.losses)),
            Curve("accuracy", "Accuracy", tuple(self.accuracies)),
            Curve("rate", "Learning rate", tuple(self.learning_rates)),
            Curve("speed", "Speed", tuple(self.speeds), "iterations a second"),
        )
        return tuple(curve for curve in all_of_them if curve.points)

    def note(self, line: str, event: Event | None) -> None:
        self.tail.append(line)
        if len(self.first) < FIRST_LINES:
            self.first.append(line)
        self._note_time(line)
        self._note_solver(line)
        match event:
            case Trained(iteration, loss, rate):
                _put(self.losses, iteration, loss)
                # Caffe's first line of an attempt has a rate that means nothing.
                if rate > 0 and not self._fresh:
                    _put(self.speeds, iteration, rate)
                self._fresh = False
            case Rate(iteration, rate):
                _put(self.learning_rates, iteration, rate)
            case Snapshot(path):
                self.snapshots.append(path)
            case _:
                pass
        if self.record.accuracies:
            iteration, accuracy = self.record.accuracies[-1]
            if not self.accuracies or self.accuracies[-1] != (iteration, accuracy):
                _put(self.accuracies, iteration, accuracy)

    def _note_time(self, line: str) -> None:
        match = _TIME.search(line)
        if match is None:
            return
        month, day, hour, minute, second, micro = (int(group) for group in match.groups())
        try:
            # glog writes no year; a leap year has every day.
            told = datetime(_LEAP_YEAR, month, day, hour, minute, second, micro)
        except ValueError:
            return
        if self._last is not None:
            passed = told - self._last
            if passed < -_HALF_A_YEAR:
                passed += timedelta(days=366)
            self.seconds += max(0.0, passed.total_seconds())
        self._last = told

    def _note_solver(self, line: str) -> None:
        if _SOLVER_BEGINS.search(line):
            self.attempts += 1
            self._fresh = True
            self._in_solver = True
            self.solver.clear()
        elif _TIME.search(line):
            self._in_solver = False
        elif self._in_solver and len(self.solver) < _SOLVER_LINES:
            self.solver.append(line)


def _put(points: list[Point], iteration: int, value: float) -> None:
    while points and points[-1][0] >= iteration:
        points.pop()
    points.append((iteration, value))


def read(lines: Iterable[str]) -> Telling:
    telling = Telling()
    for line, event in watch(lines, telling.record):
        telling.note(line, event)
    return telling
