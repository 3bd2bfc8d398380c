"""The picture of a run: loss, and accuracy where there is one, over the iterations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from uaitrain.runs.curve import Point, Span, finite, label, span, ticks
from uaitrain.runs.png import GLYPH_HEIGHT, Canvas, Colour, text_width

WIDTH, HEIGHT = 1000, 600
_LEFT, _RIGHT, _TOP, _BOTTOM = 110, 110, 84, 80
_BLUE, _ORANGE = (31, 96, 180), (214, 104, 12)
_INK, _GRID = (60, 60, 60), (225, 225, 225)


def draw(losses: Sequence[Point], accuracies: Sequence[Point], title: str) -> bytes | None:
    """A PNG, or None without two points of the loss to join."""
    losses, accuracies = finite(losses), finite(accuracies)
    if len(losses) < 2:
        return None
    canvas = Canvas(WIDTH, HEIGHT)
    across = span([x for x, _ in [*losses, *accuracies]])
    canvas.text(_LEFT, 22, title, _INK)
    _iterations(canvas, across)
    _curve(canvas, losses, across, _up(losses), _BLUE, "loss", right=False)
    if len(accuracies) > 1:
        _curve(canvas, accuracies, across, _up(accuracies), _ORANGE, "accuracy", right=True)
    return canvas.png()


def _up(points: Sequence[Point]) -> Span:
    """A little room above and below the curve."""
    tight = span([y for _, y in points])
    margin = (tight.high - tight.low) * 0.04
    return Span(tight.low - margin, tight.high + margin)


def _x(across: Span, value: float) -> float:
    return _LEFT + across.share(value) * (WIDTH - _LEFT - _RIGHT)


def _y(up: Span, value: float) -> float:
    return HEIGHT - _BOTTOM - up.share(value) * (HEIGHT - _TOP - _BOTTOM)


def _iterations(canvas: Canvas, across: Span) -> None:
    bottom = HEIGHT - _BOTTOM
    for tick in ticks(across, 8):
        x, text = round(_x(across, tick)), label(tick)
        canvas.box(x, _TOP, 1, bottom - _TOP, _GRID)
        canvas.text(x - text_width(text) // 2, bottom + 12, text, _INK)
    canvas.box(_LEFT, bottom, WIDTH - _LEFT - _RIGHT, 2, _INK)
    name = "iteration"
    canvas.text((WIDTH - text_width(name)) // 2, HEIGHT - 30, name, _INK)


def _curve(
    canvas: Canvas,
    points: Sequence[Point],
    across: Span,
    up: Span,
    colour: Colour,
    name: str,
    *,
    right: bool,
) -> None:
    """A curve with its own axis at the left or the right, in its colour."""
    axis = WIDTH - _RIGHT if right else _LEFT
    for tick in ticks(up, 7):
        y, text = round(_y(up, tick)), label(tick)
        if not right:
            canvas.box(_LEFT, y, WIDTH - _LEFT - _RIGHT, 1, _GRID)
        x = axis + 10 if right else axis - 10 - text_width(text)
        canvas.text(x, y - GLYPH_HEIGHT, text, colour)
    canvas.box(axis, _TOP, 2, HEIGHT - _TOP - _BOTTOM, colour)
    canvas.text(axis - (text_width(name) if right else 0), _TOP - 22, name, colour)
    placed = [(_x(across, x), _y(up, y)) for x, y in points]
    for start, end in pairwise(placed):
        canvas.line(start, end, colour)
