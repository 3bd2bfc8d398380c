"""A layer in its net."""

from __future__ import annotations

from dataclasses import dataclass, field

from caffe.blob import Blob
from caffe.layers.base import Layer


@dataclass
class Node:
    """A layer in its net: the blobs it reads and writes, and which gradients it has to give."""

    layer: Layer
    bottoms: list[Blob]
    tops: list[Blob]
    bottom_names: list[str]
    top_names: list[str]
    wanted: list[bool]
    loss_weights: list[float]
    needs_backward: bool = False
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    ran: bool = False
    """Whether it has run forward, without which there is no way back."""

    @property
    def in_place(self) -> bool:
        return any(bottom is top for bottom in self.bottoms for top in self.tops)
