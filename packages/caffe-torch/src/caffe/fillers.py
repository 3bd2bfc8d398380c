"""How learnable blobs get their first values (placeholder: constants only)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from caffe.blob import Shape
from caffe.errors import CaffeError
from caffe.random import Random

Refuse = Callable[[str], CaffeError]


def fill(filler: Any, shape: Shape, random: Random, refuse: Refuse) -> torch.Tensor:
    """A float32 CPU tensor of ``shape`` filled as the FillerParameter says. Raises what
    ``refuse`` makes for an unknown type."""
    return torch.full(shape, filler.value)


def from_proto(proto: Any, shape: Shape, refuse: Refuse) -> torch.Tensor:
    """The data of a BlobProto as a float32 CPU tensor. Raises what ``refuse`` makes when its
    shape is another."""
    return torch.tensor(list(proto.data)).reshape(shape)
