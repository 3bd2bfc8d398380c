"""A curve as SVG, with a straight and a logarithmic scale in one picture. Pure.

Both are drawn; the page shows the chosen one. Sizes are in the units of the picture's own
coordinates, which the page stretches to its width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from uaitrain.runs.curve import Span, label, span, ticks
from uaitrain.runs.report.model import Curve, Point

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 846, 12, 258
"""The plot's edges inside the picture."""

MOST_POINTS = 1500
"""More are thinned: of each stretch the least and the greatest value stay."""

_FEW = 60
"""Up to so many points are marked one by one."""


@dataclass(frozen=True)
class Scale:
    """From values to the picture's height. ``name`` is ``linear`` or ``log``."""

    name: str
    within: Span
    measure: Callable[[float], float]

    def y(self, value: float) -> float:
        share = self.within.share(self.measure(value))
        return BOTTOM - share * (BOTTOM - TOP)


def scales(points: Sequence[Point]) -> tuple[Scale, ...]:
    """Linear; and logarithmic where all values are positive and not all the same."""
    values = [y for _, y in points]
    linear = Scale("linear", span(values), lambda value: value)
    if min(values) <= 0 or min(values) == max(values):
        return (linear,)
    return linear, Scale("log", span([math.log10(v) for v in values]), math.log10)


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> tuple[Point, ...]:
    """At most ``most`` of the points, with every peak and the last one among them."""
    if len(points) <= most:
        return tuple(points)
    stretches = (most - 1) // 2
    kept: list[Point] = []
    for number in range(stretches):
        begin = number * len(points) // stretches
        end = (number + 1) * len(points) // stretches
        stretch = points[begin:end]
        ends = {min(stretch, key=_value), max(stretch, key=_value)}
        kept += sorted(ends)
    if kept[-1] != points[-1]:
        kept.append(points[-1])
    return tuple(kept)


def across(curves: Sequence[Curve]) -> Span:
    """The iterations of all curves, which have one axis; some curve has points."""
    return span([x for curve in curves for x, _ in curve.shown])


def x_of(iteration: float, within: Span) -> float:
    return LEFT + within.share(iteration) * (RIGHT - LEFT)


def picture(curve: Curve, points: Sequence[Point], within: Span) -> str:
    """The ``<svg>`` of ``points``, which are those of ``curve`` thinned, and not empty."""
    first, last = points[0], points[-1]
    told = (
        f"{curve.title} over iterations {first[0]} to {last[0]}: from {first[1]:.4g} to "
        f"{last[1]:.4g}, least {min(y for _, y in points):.4g}, greatest "
        f"{max(y for _, y in points):.4g}."
    )
    parts = [
        f'<svg id="plot-{curve.key}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" '
        f'aria-labelledby="told-{curve.key}">',
        f'<title id="told-{curve.key}">{escape(told)}</title>',
        *(_tick_x(value, within) for value in ticks(within, 8)),
        f'<text class="axis" x="{(LEFT + RIGHT) // 2}" y="{HEIGHT - 6}">iteration</text>',
    ]
    for scale in scales(points):
        parts.append(f'<g class="{scale.name}">')
        parts += [_tick_y(place, text) for place, text in _ticks_y(scale)]
        parts.append(f'<path class="curve" d="{_path(points, within, scale)}"/>')
        if len(points) <= _FEW:
            parts += [
                f'<circle class="point" cx="{x_of(x, within):.1f}" cy="{scale.y(y):.1f}" r="2.5"/>'
                for x, y in points
            ]
        parts.append("</g>")
    parts += [
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" '
        f'height="{BOTTOM - TOP}"/>',
        f'<g class="cursor" hidden=""><line x1="0" x2="0" y1="{TOP}" y2="{BOTTOM}"/>'
        '<circle r="4"/></g>',
        "</svg>",
    ]
    return "\n".join(parts)


def _path(points: Sequence[Point], within: Span, scale: Scale) -> str:
    words = (f"{x_of(x, within):.1f} {scale.y(y):.1f}" for x, y in points)
    return "M" + " L".join(words)


def _tick_x(value: float, within: Span) -> str:
    x = f"{x_of(value, within):.1f}"
    return (
        f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{BOTTOM}"/>'
        f'<text class="tick across" x="{x}" y="{BOTTOM + 16}">{escape(label(value))}</text>'
    )


def _tick_y(place: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
        f'<text class="tick up" x="{LEFT - 6}" y="{place + 4:.1f}">{escape(text)}</text>'
    )


def _ticks_y(scale: Scale) -> list[tuple[float, str]]:
    if scale.name == "linear":
        return [(scale.y(value), label(value)) for value in ticks(scale.within, 6)]
    marks = [1, 2, 5] if scale.within.high - scale.within.low < 2 else [1]
    low, high = math.floor(scale.within.low), math.ceil(scale.within.high)
    every = max(1, (high - low) // 6)
    found = []
    for power in range(low, high + 1, every):
        for mark in marks:
            value = mark * 10.0**power
            if scale.within.low - 1e-9 <= math.log10(value) <= scale.within.high + 1e-9:
                found.append((scale.y(value), label(value)))
    return found


def _value(point: Point) -> float:
    return point[1]
