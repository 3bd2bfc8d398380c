"""The list files of ImageData: a picture and its label a line."""

from __future__ import annotations

import re
from pathlib import Path

from caffe.data.faults import Fail

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?\d+)")


def read_list(source: str, fail: Fail) -> list[tuple[str, int]]:
    """Paths and labels, as Caffe splits them: at the line's last space, so paths may have spaces;
    the label is what C's atoi makes of the rest, 0 when it is no number. Raises what ``fail``
    makes."""
    try:
        text = Path(source).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise fail(
            f'source "{source}" cannot be read: {error.strerror}',
            allowed="a text file with a picture's path and its label on each line",
        ) from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise fail(f'source "{source}" is empty', next_step="list a picture and its label a line")
    return [_split(line) for line in lines]


def _split(line: str) -> tuple[str, int]:
    path, space, label = line.rpartition(" ")
    return (path, c_integer(label)) if space else (line, c_integer(line))


def c_integer(text: str) -> int:
    """The number that ``text`` begins with, as C's atoi reads it; 0 without one."""
    found = _NUMBER.match(text)
    return int(found[1]) if found else 0
