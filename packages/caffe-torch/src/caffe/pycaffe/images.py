"""Images as pycaffe has them: H×W×C, RGB, float32 from 0 to 1."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe.errors import DataError
from caffe.pycaffe import resampling

Array = np.ndarray[Any, Any]
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])
"""What red, green and blue give to grey, as scikit-image weighs them."""
_RGBA = 4
_CROPS = 10


def load_image(filename: str | os.PathLike[str], color: bool = True) -> Array:
    """H×W×3, or H×W×1 without ``color``. Raises DataError, also for a file that is not there."""
    try:
        data = np.frombuffer(Path(filename).read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{os.fspath(filename)}: {error.strerror}") from None
    found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if found is None:
        raise DataError(f"{os.fspath(filename)}: not an image that OpenCV can read")
    image: Array = found.astype(np.float64)
    if found.dtype.kind == "u":
        image /= np.iinfo(found.dtype.name).max
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
        image = np.tile(image, (1, 1, 3)) if color else image
    else:
        image = image[:, :, 2::-1] if image.shape[2] in (3, _RGBA) else image
        image = image if color else (image @ _LUMINANCE)[:, :, np.newaxis]
    made: Array = np.ascontiguousarray(image, np.float32)
    return made


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> Array:
    """``im`` (H×W×K) as new_dims[0]×new_dims[1]×K, float32. Orders: 0 nearest, 1 bilinear, 3
    cubic."""
    height, width = int(new_dims[0]), int(new_dims[1])
    if im.shape[-1] in (1, 3):
        low, high = im.min(), im.max()
        if not high > low:
            return np.full((height, width, im.shape[-1]), low, np.float32)
        made = resampling.resize(im - low, height, width, interp_order) + low
        return np.asarray(made, np.float32)
    zoomed: Array = resampling.zoom(im, height, width, interp_order).astype(np.float32)
    return zoomed


def oversample(images: Sequence[Array], crop_dims: Sequence[int]) -> Array:
    """Of each H×W×K image its four corners and its centre, of ``crop_dims``, then the same five
    mirrored: 10·N×h×w×K, float32."""
    height, width = (int(size) for size in crop_dims)
    tall, wide, channels = images[0].shape
    starts = [(top, left) for top in (0, tall - height) for left in (0, wide - width)]
    starts.append(
        (
            int(np.floor(tall / 2.0 - height / 2.0)),
            int(np.floor(wide / 2.0 - width / 2.0)),
        )
    )
    crops = np.empty((_CROPS * len(images), height, width, channels), np.float32)
    for number, image in enumerate(images):
        place = crops[_CROPS * number :]
        for index, (top, left) in enumerate(starts):
            place[index] = image[top : top + height, left : left + width]
            place[index + len(starts)] = place[index][:, ::-1]
    return crops
