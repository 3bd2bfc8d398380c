"""Pictures as Caffe reads them: OpenCV's channel order (blue, green, red), 8 bits.

Arrays are given as channels × height × width, views of OpenCV's height × width × channels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from caffe.data.faults import Fail

Image = np.ndarray[Any, Any]
Item = TypeVar("Item")
AS_IT_IS = cv2.IMREAD_UNCHANGED
COLOR = cv2.IMREAD_COLOR
GRAY = cv2.IMREAD_GRAYSCALE
_MOST_READERS = 4


def decode(data: bytes | memoryview, flag: int, name: str, fail: Fail) -> Image:
    """The picture in the bytes of a JPEG, PNG … file. Raises what ``fail`` makes."""
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if len(data) else None
    except cv2.error:
        found = None
    if found is None:
        raise fail(
            f"{name} is not a picture that OpenCV can read ({len(data)} bytes)",
            allowed="a whole JPEG, PNG, BMP, TIFF or WebP file",
        )
    return _channels_first(found, name, fail)


def read(path: str, color: bool, size: tuple[int, int] | None, fail: Fail) -> Image:
    """The picture at ``path``, resized to ``size`` (height, width) if given. Raises what ``fail``
    makes."""
    found = cv2.imread(path, COLOR if color else GRAY) if Path(path).is_file() else None
    if found is None:
        what = "is not a picture that OpenCV can read" if Path(path).exists() else "does not exist"
        raise fail(
            f'picture "{path}" {what}', next_step="check root_folder and the list of the source"
        )
    if size:
        found = cv2.resize(found, (size[1], size[0]))
    return _channels_first(found, f'picture "{path}"', fail)


def _channels_first(image: Image, name: str, fail: Fail) -> Image:
    if image.dtype != np.uint8:
        raise fail(f"{name} has values of {image.dtype}", allowed="8 bits a channel")
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def side_by_side(make: Callable[[Item], Image], items: Iterable[Item]) -> list[Image]:
    """``make`` of all items, in their order; OpenCV works without the interpreter's lock."""
    count = min(_MOST_READERS, (os.cpu_count() or 1) // 2)
    if count < 2:
        return [make(item) for item in items]
    return list(_readers(count, os.getpid()).map(make, items))


@cache
def _readers(count: int, process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "caffe-picture")
