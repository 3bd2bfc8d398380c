"""How learnable blobs get their first values: Caffe's seven fillers, bit for bit on the CPU.

A filler gets the FillerParameter, the blob's shape and the random numbers, and gives float32
values of that shape. Everything is computed in float32 in Caffe's order of operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from caffe import blobproto
from caffe.blob import Shape
from caffe.errors import CaffeError, UsageError
from caffe.proto import caffe_pb2
from caffe.random import Random
from caffe.ziggurat import Floats

Refuse = Callable[[str], CaffeError]
Filler = Callable[[Any, Shape, Random], Floats]

_NORM: Any = caffe_pb2.FillerParameter


def fill(filler: Any, shape: Shape, random: Random, refuse: Refuse) -> torch.Tensor:
    """A float32 CPU tensor of ``shape`` filled as the FillerParameter says. Raises what
    ``refuse`` makes for an unknown type, for values that it cannot draw from, and for an empty
    blob."""
    kind = filler.type
    if kind not in FILLERS:
        raise refuse(f'unknown filler "{kind}" (allowed: {", ".join(sorted(FILLERS))})')
    if not math.prod(shape):
        raise refuse(f'filler "{kind}" has nothing to fill in a blob of shape {tuple(shape)}')
    if filler.sparse < -1 or (filler.sparse != -1 and kind != "gaussian"):
        raise refuse(
            f'filler "{kind}" has sparse: {filler.sparse} '
            "(allowed: only for gaussian, how many inputs of an output are not zero)"
        )
    try:
        values = FILLERS[kind](filler, tuple(shape), random)
    except UsageError as error:
        raise refuse(f'filler "{kind}": {error}') from error
    return torch.from_numpy(values.reshape(shape))


def from_proto(proto: Any, shape: Shape, refuse: Refuse) -> torch.Tensor:
    """The data of a BlobProto as a float32 CPU tensor. Raises what ``refuse`` makes when its
    shape is another."""
    values = blobproto.numbers(proto)
    if not blobproto.fits(proto, shape) or values.size != math.prod(shape):
        raise refuse(
            f"a blob of shape {blobproto.shape_of(proto)} with {values.size} values is given, "
            f"{tuple(shape)} is needed"
        )
    return torch.from_numpy(values.reshape(shape))


def _constant(filler: Any, shape: Shape, random: Random) -> Floats:
    return np.full(shape, filler.value, np.float32)


def _uniform(filler: Any, shape: Shape, random: Random) -> Floats:
    return random.uniform(math.prod(shape), filler.min, filler.max)


def _gaussian(filler: Any, shape: Shape, random: Random) -> Floats:
    """``sparse``: so many inputs of each output are not zero in the mean; axis 0 is the outputs."""
    count = math.prod(shape)
    values = random.gaussian(count, filler.mean, filler.std)
    if filler.sparse >= 0:
        outputs = shape[0] if shape else 0
        if filler.sparse > outputs:
            raise UsageError(
                f"sparse: {filler.sparse} of a blob with {outputs} outputs",
                allowed="not above the size of axis 0",
            )
        values *= random.bernoulli(count, float(np.float32(filler.sparse) / np.float32(outputs)))
    return values


def _positive_unitball(filler: Any, shape: Shape, random: Random) -> Floats:
    """Uniform, then each output's inputs are divided by their sum."""
    values = random.uniform(math.prod(shape), 0, 1).reshape(_axes(shape)[0], -1)
    # accumulate adds from left to right, as Caffe's loop; sum adds pairwise and rounds otherwise.
    values /= np.add.accumulate(values, axis=1)[:, -1:]
    return values


def _xavier(filler: Any, shape: Shape, random: Random) -> Floats:
    """Uniform within ±√(3 / n) (Glorot and Bengio, 2010)."""
    scale = np.sqrt(np.float32(3) / _fan(filler, shape))
    return random.uniform(math.prod(shape), float(-scale), float(scale))


def _msra(filler: Any, shape: Shape, random: Random) -> Floats:
    """Gaussian of standard deviation √(2 / n) (He et al., 2015)."""
    std = np.sqrt(np.float32(2) / _fan(filler, shape))
    return random.gaussian(math.prod(shape), 0, float(std))


def _bilinear(filler: Any, shape: Shape, random: Random) -> Floats:
    """The kernel of bilinear interpolation, for a Deconvolution that enlarges; the same for each
    pair of channels."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise UsageError(f"a blob of shape {shape}", allowed="4 axes, the last two of equal size")
    size = shape[3]
    half = math.ceil(size / 2)
    centre = np.float32((size - 1) / (2.0 * half))
    place = np.arange(size, dtype=np.float32) / np.float32(half)
    line = np.float32(1) - np.abs(place - centre)
    values: Floats = np.broadcast_to(line[:, None] * line[None, :], shape).astype(np.float32)
    return values


def _fan(filler: Any, shape: Shape) -> np.float32:
    """How many inputs an output has (FAN_IN), how many outputs an input has, or their mean."""
    outputs, inputs = _axes(shape)
    count = math.prod(shape)
    fan_in, fan_out = count // outputs, count // inputs
    if filler.variance_norm == _NORM.FAN_OUT:
        return np.float32(fan_out)
    if filler.variance_norm == _NORM.AVERAGE:
        return np.float32(fan_in + fan_out) / np.float32(2)
    return np.float32(fan_in)


def _axes(shape: Shape) -> tuple[int, int]:
    """The sizes of axes 0 and 1; a missing second one counts as 1."""
    if not shape:
        raise UsageError("a blob without axes", allowed="at least one axis")
    return shape[0], shape[1] if len(shape) > 1 else 1


FILLERS: dict[str, Filler] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
