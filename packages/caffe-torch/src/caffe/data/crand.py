"""C's rand() as glibc does it, and std::random_shuffle as libstdc++ does it with rand().

Caffe's HDF5Data shuffles with them; nobody seeds them, so every process starts with the seed 1.
The generator is glibc's default: r[i] = r[i−3] + r[i−31] modulo 2³², of which the lowest bit is
dropped. Its first 34 numbers come from a Lehmer generator, and 310 sums are thrown away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import MutableSequence
from typing import Any

_LONG, _SHORT = 31, 3
_THROWN_AWAY = 310


class CRand:
    """A stream of rand(), as a process has it from its start."""

    def __init__(self, seed: int = 1) -> None:
        words = [seed]
        for _ in range(_LONG - 1):
            words.append(16807 * words[-1] % 2147483647)
        # The three numbers in front of the first sum repeat the first three words.
        self._last = deque([*words[_SHORT:], *words[:_SHORT]], maxlen=_LONG)
        for _ in range(_THROWN_AWAY):
            self.draw()

    def draw(self) -> int:
        """A number from 0 to 2³¹ − 1."""
        word = (self._last[0] + self._last[_LONG - _SHORT]) & 0xFFFFFFFF
        self._last.append(word)
        return word >> 1

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Put ``items`` into a random order in place."""
        for index in range(1, len(items)):
            place = self.draw() % (index + 1)
            items[index], items[place] = items[place], items[index]
