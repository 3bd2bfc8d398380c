"""Lines of a container's log, read anew and yet given once. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Lines:
    """The lines of one log, over all readings of it.

    The server writes the time before each line, to the nanosecond; several lines may share one.
    So a reading gives what is later than the last line given, and of those of the same moment
    what is not yet counted.
    """

    def __init__(self) -> None:
        self._last = ""
        self._given = 0

    def of(self, pieces: Iterable[bytes], *, whole: bool) -> Iterator[str]:
        """The lines of one reading that no earlier one gave.

        ``whole`` says that nothing more will come, so that a rest without an end is a line;
        otherwise the connection may have been lost in it, and it is left for the next reading.
        """
        same = 0
        for line in _split(pieces, rest_too=whole):
            stamp, _, text = line.decode("utf-8", "replace").partition(" ")
            moment = _sortable(stamp)
            if moment < self._last:
                continue
            if moment > self._last:
                self._last, self._given, same = moment, 0, 0
            same += 1
            if same > self._given:
                self._given = same
                yield text


def _split(pieces: Iterable[bytes], *, rest_too: bool) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest and rest_too:
        yield rest


def _sortable(stamp: str) -> str:
    """RFC 3339 with nine digits of a second, as the server leaves trailing zeros away."""
    seconds, _, fraction = stamp.rstrip("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"
