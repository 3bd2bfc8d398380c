"""A curve as a few lines of text, drawn with Unicode's eighth blocks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from uaitrain.runs.curve import Point, columns, finite, label, span

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_MARGIN = 9


def plot(points: Sequence[Point], title: str, *, width: int = 60, height: int = 8) -> str:
    """``title`` above, the values at the left, the iterations below; empty without two points.

    ``width`` and ``height`` are the characters of the drawing itself.
    """
    points = finite(points)
    if len(points) < 2:
        return ""
    across, up = span([x for x, _ in points]), span([y for _, y in points])
    width = min(width, max(20, len(points)))
    heights = _filled([c and c[1] for c in columns(points, width, across)])
    levels = [round(up.share(value) * (height * 8 - 1)) + 1 for value in heights]
    lines = [title]
    for row in range(height - 1, -1, -1):
        cells = "".join(_EIGHTHS[min(8, max(0, level - row * 8))] for level in levels)
        edge = {height - 1: label(up.high), 0: label(up.low)}.get(row, "")
        lines.append(f"{edge:>{_MARGIN - 2}} │{cells}".rstrip())
    lines.append(" " * (_MARGIN - 1) + "└" + "─" * width)
    first, last = label(across.low), label(across.high)
    lines.append(" " * _MARGIN + first + last.rjust(width - len(first)))
    return "\n".join(lines)


def _filled(values: Sequence[float | None]) -> list[float]:
    """Columns without a point show the value before them, the first ones the first value."""
    current = next(value for value in values if value is not None)
    filled = []
    for value in values:
        current = current if value is None else value
        filled.append(current)
    return filled
