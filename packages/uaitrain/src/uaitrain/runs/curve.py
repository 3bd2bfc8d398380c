"""A curve's points: what a plot of few columns shows of many iterations. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Span:
    low: float
    high: float

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


def finite(points: Sequence[Point]) -> list[Point]:
    """Without what a diverged run logs (nan, inf)."""
    return [(x, y) for x, y in points if math.isfinite(y)]


def span(values: Sequence[float]) -> Span:
    """From the least to the greatest; widened where they are one. ``values`` is not empty."""
    low, high = min(values), max(values)
    if low == high:
        margin = abs(low) / 2 or 0.5
        return Span(low - margin, high + margin)
    return Span(low, high)


def ticks(within: Span, most: int) -> list[float]:
    """At most ``most`` round numbers inside ``within``, evenly spaced."""
    rough = (within.high - within.low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(
        (factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough), 10 * power
    )
    first = math.ceil(within.low / step - 1e-9)
    last = math.floor(within.high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def columns(points: Sequence[Point], count: int, across: Span) -> list[tuple[float, float] | None]:
    """For each of ``count`` columns the least and greatest y of its points, or None."""
    found: list[tuple[float, float] | None] = [None] * count
    for x, y in points:
        column = min(count - 1, int(across.share(x) * count))
        known = found[column]
        found[column] = (y, y) if known is None else (min(known[0], y), max(known[1], y))
    return found


def label(value: float) -> str:
    """A short number for an axis."""
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e7 else text
