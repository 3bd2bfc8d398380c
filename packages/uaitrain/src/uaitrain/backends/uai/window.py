"""Lines of a log that is only ever seen through a window, each line once. Pure.

The platform answers with the newest lines, and does not say where they begin: with all of them,
with those since the last question, or with the last fifty when the job is over. So what is new is
what comes after the longest end of the lines seen so far with which the answer begins. Where an
answer by chance begins as the seen lines end, that line is not shown again; Caffe's lines have
their time in them, so this meets blank lines at most.
"""

from __future__ import annotations

from collections.abc import Sequence

KEPT = 20_000
"""Lines remembered: more than a window of the platform holds."""


class Window:
    """The lines seen so far, the last :data:`KEPT` of them."""

    def __init__(self) -> None:
        self._seen: list[str] = []

    def new(self, lines: Sequence[str]) -> tuple[str, ...]:
        """Those of ``lines`` that were not seen before."""
        fresh = tuple(lines[self._overlap(lines) :])
        self._seen = (self._seen + list(fresh))[-KEPT:]
        return fresh

    def _overlap(self, lines: Sequence[str]) -> int:
        """The longest prefix of ``lines`` that ends the seen ones (Knuth, Morris, Pratt 1977)."""
        if not lines:
            return 0
        failure = [0] * len(lines)
        for index in range(1, len(lines)):
            failure[index] = _longer(lines, failure, failure[index - 1], lines[index])
        length = 0
        for line in self._seen:
            if length == len(lines):
                length = failure[length - 1]
            length = _longer(lines, failure, length, line)
        return length


def _longer(lines: Sequence[str], failure: list[int], length: int, line: str) -> int:
    while length and lines[length] != line:
        length = failure[length - 1]
    return length + 1 if lines[length] == line else 0
