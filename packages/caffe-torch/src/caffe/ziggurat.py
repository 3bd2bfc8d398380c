"""Normally distributed numbers as boost 1.74 draws them: by ziggurat, from 32-bit words.

A ziggurat covers the area below a falling density f by strips of equal area V: strip i, counted
from the tail, reaches to x[i], and lies between the heights y[i] and y[i + 1]. The lowest strip
also holds the tail beyond R = x[1]; x[0] = V / f(R) is its width if it were a rectangle. A draw
picks a strip and a place in it. Most places lie under the curve wherever in the strip's height:
those cost one word. The others draw a height and compare, or draw from the tail.

One word gives both: the low 8 bits the strip (and, for the normal distribution, the sign), the
high 24 bits the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

Words = np.ndarray[Any, np.dtype[np.uint32]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

_PLACE = np.float32(2.0**-24)
_HEIGHT = np.float32(2.0**-32)
_BLOCK = 1 << 18


class Source(Protocol):
    """Where words come from, and go back to when they were not needed."""

    def take(self, count: int) -> Words: ...

    def give_back(self, words: Words) -> None: ...


@dataclass(frozen=True)
class Ziggurat:
    """The strips' edges, from the tail to the top: ``strips + 1`` of each. ``dx[i]`` and
    ``dy[i]`` are the differences to the next edge, taken before rounding."""

    x: Floats
    y: Floats
    dx: Floats
    dy: Floats


@cache
def normal_table() -> Ziggurat:
    """128 strips below exp(-x²/2), x >= 0."""
    return _table(
        128,
        lambda x: math.exp(-x * x / 2),
        lambda y: math.sqrt(-2 * math.log(y)),
        lambda x: math.sqrt(math.pi / 2) * math.erfc(x / math.sqrt(2)),
        (3.0, 4.0),
    )


@cache
def exponential_table() -> Ziggurat:
    """256 strips below exp(-x)."""
    return _table(
        256, lambda x: math.exp(-x), lambda y: -math.log(y), lambda x: math.exp(-x), (7.0, 8.0)
    )


def normal(source: Source, count: int) -> Floats:
    """``count`` draws of mean 0 and deviation 1."""
    values = np.empty(count, np.float32)
    done = 0
    size = 64
    while done < count:
        wanted = count - done
        block = source.take(min(max(size, wanted + wanted // 32 + 64), _BLOCK))
        drawn, used = _normal_block(block, wanted)
        source.give_back(block[used:])
        # Nothing came out: the block was too short for one draw from the tail.
        size = size if used else 2 * len(block)
        values[done : done + len(drawn)] = drawn
        done += len(drawn)
    return values


def _table(
    strips: int,
    density: Callable[[float], float],
    inverse: Callable[[float], float],
    tail: Callable[[float], float],
    between: tuple[float, float],
) -> Ziggurat:
    """Find R so that the last strip ends exactly at the density's top, 1: a smaller R makes
    larger strips, which overshoot."""
    low, high = between
    while True:
        start = (low + high) / 2
        if start in (low, high):
            break
        heights = _heights(start, strips, density, inverse, tail)
        if len(heights) <= strips or heights[-1] > 1:
            low = start
        else:
            high = start
    heights = _heights(high, strips, density, inverse, tail)
    area = high * density(high) + tail(high)
    x = np.array([area / density(high), high, *map(inverse, heights[2:strips]), 0.0])
    y = np.array([*heights[:strips], 1.0])
    edges = (x, y, x[:-1] - x[1:], y[1:] - y[:-1])
    return Ziggurat(*(values.astype(np.float32) for values in edges))


def _heights(
    start: float,
    strips: int,
    density: Callable[[float], float],
    inverse: Callable[[float], float],
    tail: Callable[[float], float],
) -> list[float]:
    """0, f(R) and so on upwards; ends early where the top is passed."""
    area = start * density(start) + tail(start)
    heights = [0.0, density(start)]
    edge = start
    while len(heights) <= strips:
        heights.append(heights[-1] + area / edge)
        if heights[-1] >= 1:
            break
        edge = inverse(heights[-1])
    return heights


def _normal_block(block: Words, wanted: int) -> tuple[Floats, int]:
    """At most ``wanted`` draws from the beginning of ``block``, and how many words they took.

    All words are judged at once as if a draw began at each. Then the few draws that need more
    words are walked in order, as those words begin no draw.
    """
    table = normal_table()
    strip = (block & 255) >> 1
    values = (block >> 8).astype(np.float32) * _PLACE * table.x[strip]
    slow = np.flatnonzero(values >= table.x[strip + 1])
    heights = block[np.minimum(slow + 1, len(block) - 1)]
    below = _below_normal(values[slow], strip[slow], heights)
    # Two kinds of draws go word by word: from the tail, and with a height that rounds to 1.
    rare = (strip[slow] == 0) | (heights.astype(np.float32) * _HEIGHT >= 1)
    keep = np.ones(len(block), bool)
    ends: dict[int, int] = {}
    free, stop = 0, len(block)
    for place, accept, by_word in zip(slow.tolist(), below.tolist(), rare.tolist(), strict=True):
        if place < free:
            continue
        cursor = _Cursor(block, place + 1)
        try:
            if not by_word:
                cursor.word()
            elif strip[place] == 0:
                values[place], accept = _normal_tail(cursor), True
            else:
                height = cursor.height()
                accept = bool(_below_normal(values[place], strip[place], height))
        except IndexError:
            stop = place
            break
        free = ends[place] = cursor.at
        keep[place + 1 : free] = False
        keep[place] = accept
    kept = np.flatnonzero(keep[:stop])[:wanted]
    if len(kept) == wanted:
        stop = ends.get(int(kept[-1]), int(kept[-1]) + 1)
    drawn = values[kept]
    return np.where(block[kept] & 1, drawn, -drawn), stop


class _Cursor:
    """Reads a block word by word. Raises IndexError at its end."""

    __slots__ = ("at", "block")

    def __init__(self, block: Words, at: int) -> None:
        self.block = block
        self.at = at

    def word(self) -> np.uint32:
        word: np.uint32 = self.block[self.at]
        self.at += 1
        return word

    def height(self) -> np.uint32:
        """A word that is below 1 when taken as a fraction in float32."""
        while np.float32(word := self.word()) * _HEIGHT >= 1:
            pass
        return word


def _below_normal(x: Any, strip: Any, height: Any) -> Any:
    """Whether the point at ``x``, ``height`` of the strip, is under the curve.

    The curve lies between its tangent and its chord; boost asks them first, and only between them
    the density, which decides otherwise within rounding.
    """
    table = normal_table()
    part = np.asarray(height).astype(np.float32) * _HEIGHT
    y = table.y[strip] + part * table.dy[strip]
    left = table.x[strip] - x
    chord = table.dx[strip] * part - left
    tangent = y - (table.y[strip] + left * table.y[strip] * table.x[strip])
    convex = table.x[strip] >= 1
    above_upper = np.where(convex, chord, tangent)
    above_lower = np.where(convex, tangent, chord)
    return (above_upper < 0) & ((above_lower < 0) | (y < _exp(-(x * x / np.float32(2)))))


def _below_exponential(x: Any, strip: Any, height: Any) -> bool:
    table = exponential_table()
    part = np.float32(height) * _HEIGHT
    y = table.y[strip] + part * table.dy[strip]
    chord = table.dx[strip] * part - (table.x[strip] - x)
    tangent = y - (table.y[strip + 1] + (table.x[strip + 1] - x) * table.y[strip + 1])
    return bool(chord < 0 and (tangent < 0 or y < _exp(-x)))


def _normal_tail(cursor: _Cursor) -> np.float32:
    """A draw beyond R: an exponential one with a normal density's excess rejected."""
    start = normal_table().x[1]
    while True:
        x = _exponential(cursor) / start
        y = _exponential(cursor)
        if np.float32(2) * y > x * x:
            return np.float32(x + start)


def _exponential(cursor: _Cursor) -> np.float32:
    """A draw of rate 1. Beyond R the exponential tail looks like the whole, shifted by R."""
    table = exponential_table()
    shift = np.float32(0)
    while True:
        word = cursor.word()
        strip = int(word) & 255
        x = np.float32(int(word) >> 8) * _PLACE * table.x[strip]
        if x < table.x[strip + 1]:
            return np.float32(shift + x)
        if strip == 0:
            shift += table.x[1]
        elif _below_exponential(x, strip, cursor.height()):
            return np.float32(x + shift)


def _exp(x: Any) -> Any:
    """The C library's expf: computed in double and rounded once."""
    return np.exp(np.asarray(x, np.float64)).astype(np.float32)
