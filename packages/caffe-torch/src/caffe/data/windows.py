"""R-CNN's window files, and how a window is cut out of its picture.

A file is a row of pictures:

    # image_index
    path
    channels
    height
    width
    number of windows
    class_index overlap x1 y1 x2 y2     a line for each window

Corners are pixels that belong to the window. ``overlap`` is with the nearest object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from caffe.data.faults import Fail

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Window:
    """A window of picture ``image``; ``box`` is x1, y1, x2, y2. The background has label 0."""

    image: int
    label: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class WindowFile:
    paths: list[str]
    channels: int
    foreground: list[Window]
    background: list[Window]


@dataclass(frozen=True)
class Cut:
    """The part x1, y1 to x2, y2 (both included) of a picture, warped to ``height`` × ``width``
    and put at ``row``, ``column`` of a zero crop."""

    box: tuple[int, int, int, int]
    height: int
    width: int
    row: int = 0
    column: int = 0


def read_windows(
    source: str, root: str, foreground_from: float, background_below: float, fail: Fail
) -> WindowFile:
    """Windows whose overlap is at least ``foreground_from`` are foreground, of the others those
    below ``background_below`` background. Raises what ``fail`` makes."""
    try:
        text = Path(source).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise fail(
            f'source "{source}" cannot be read: {error.strerror}', allowed="a window file"
        ) from None
    found = WindowFile([], 0, [], [])
    channels = 0
    words = iter(text.split())
    least, limit = np.float32(foreground_from), np.float32(background_below)
    for hashtag in words:
        place = f'source "{source}", picture {len(found.paths)}'
        if hashtag != "#":
            raise fail(f'{place} begins with "{hashtag}"', allowed="# and the picture's number")
        number = _reader(words, place, fail)
        image = number(int)
        found.paths.append(root + next(words, ""))
        channels, _, _ = number(int), number(int), number(int)
        for _ in range(number(int)):
            label, overlap = number(int), np.float32(number(float))
            box = (number(int), number(int), number(int), number(int))
            if overlap >= least:
                if label < 1:
                    raise fail(
                        f"{place} has a foreground window of class {label}",
                        allowed="1 or more: 0 is the background",
                    )
                found.foreground.append(Window(image, label, box))
            elif overlap < limit:
                found.background.append(Window(image, 0, box))
    _judge(found, source, fail)
    return WindowFile(found.paths, channels, found.foreground, found.background)


def _reader(
    words: Iterator[str], place: str, fail: Fail
) -> Callable[[Callable[[str], _Number]], _Number]:
    def number(kind: Callable[[str], _Number]) -> _Number:
        word = next(words, None)
        try:
            return kind(word or "")
        except ValueError:
            shown = "the end of the file" if word is None else f'"{word}"'
            raise fail(f"{place} has {shown} where a number belongs") from None

    return number


def _judge(found: WindowFile, source: str, fail: Fail) -> None:
    if not found.paths:
        raise fail(f'source "{source}" is empty', allowed="a window file")
    for name, windows in (("foreground", found.foreground), ("background", found.background)):
        if not windows:
            raise fail(
                f'source "{source}" has no {name} window',
                next_step="look at fg_threshold and bg_threshold",
            )
        for window in windows:
            if not 0 <= window.image < len(found.paths):
                raise fail(
                    f'source "{source}" has a picture of number {window.image}',
                    allowed=f"0 to {len(found.paths) - 1}, in the order of the file",
                )


def cut(
    window: Window, height: int, width: int, crop: int, context_pad: int, square: bool, mirror: bool
) -> Cut:
    """What to cut for ``window`` of a picture of ``height`` × ``width``.

    With ``context_pad`` the window is widened so that this many pixels of the crop lie around it
    on each side; with ``square`` it is widened to a square first. What is outside the picture
    stays zero. Computes in float32 as Caffe does.
    """
    x1, y1, x2, y2 = window.box
    if not (context_pad or square):
        return Cut(window.box, crop, crop)
    widen = np.float32(crop) / np.float32(crop - 2 * context_pad)
    half_height = np.float32((y2 - y1 + 1) / 2)
    half_width = np.float32((x2 - x1 + 1) / 2)
    centre_x, centre_y = np.float32(x1) + half_width, np.float32(y1) + half_height
    if square:
        half_height = half_width = max(half_height, half_width)
    x1, x2 = _round(centre_x - half_width * widen), _round(centre_x + half_width * widen)
    y1, y2 = _round(centre_y - half_height * widen), _round(centre_y + half_height * widen)
    left, right = max(0, -x1), max(0, x2 - width + 1)
    top, bottom = max(0, -y1), max(0, y2 - height + 1)
    scale_x = np.float32(crop) / np.float32(x2 - x1 + 1)
    scale_y = np.float32(crop) / np.float32(y2 - y1 + 1)
    x1, x2, y1, y2 = x1 + left, x2 - right, y1 + top, y2 - bottom
    row = _round(np.float32(top) * scale_y)
    column = _round(np.float32(right if mirror else left) * scale_x)
    return Cut(
        (x1, y1, x2, y2),
        min(_round(np.float32(y2 - y1 + 1) * scale_y), crop - row),
        min(_round(np.float32(x2 - x1 + 1) * scale_x), crop - column),
        row,
        column,
    )


def _round(value: np.float32) -> int:
    """As C's round: halves away from zero."""
    size = math.floor(abs(float(value)) + 0.5)
    return size if value >= 0 else -size
