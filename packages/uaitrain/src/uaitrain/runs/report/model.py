"""What a report says. Values only."""

from __future__ import annotations

import math
from dataclasses import dataclass

Point = tuple[int, float]
"""Iteration and value; the value may be nan or inf, where a run diverged."""


@dataclass(frozen=True)
class Curve:
    """``key`` is a word for ids in the page. ``unit`` may be empty."""

    key: str
    title: str
    points: tuple[Point, ...]
    unit: str = ""

    @property
    def shown(self) -> tuple[Point, ...]:
        """The points that can be drawn."""
        return tuple((x, y) for x, y in self.points if math.isfinite(y))

    @property
    def strange(self) -> tuple[Point, ...]:
        """The points that cannot: nan and inf."""
        return tuple((x, y) for x, y in self.points if not math.isfinite(y))


@dataclass(frozen=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True)
class Section:
    title: str
    facts: tuple[Fact, ...]

    @staticmethod
    def of(title: str, *pairs: tuple[str, str]) -> Section:
        """Without what nobody knows (empty values)."""
        return Section(title, tuple(Fact(name, value) for name, value in pairs if value))


@dataclass(frozen=True)
class RunReport:
    """``state`` is a word of :class:`uaitrain.backends.State`, or another where none fits;
    ``made`` is when the report was, as text."""

    title: str
    state: str
    made: str
    curves: tuple[Curve, ...]
    sections: tuple[Section, ...]
    tail: tuple[str, ...]
    reason: str = ""
    iteration: int = 0
    max_iter: int = 0
    loss: float | None = None
    accuracy: float | None = None
    seconds: float | None = None
