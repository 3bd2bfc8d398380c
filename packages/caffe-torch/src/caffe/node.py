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
    filled_once: set[int] = field(default_factory=set)
    """The tops, by number, that no forward writes."""
    overwritten: bool = False
    """Whether a layer behind it writes, in place, into a blob that its backward reads."""
    read: list[Blob] = field(default_factory=list)
    """The blobs whose data its backward reads."""

    @property
    def may_have_changed(self) -> bool:
        """Whether what its backward reads may be, by then, what forward did not leave."""
        return self.overwritten or any(blob.data_memory.looked_at for blob in self.read)

    @property
    def in_place(self) -> bool:
        return any(bottom is top for bottom in self.bottoms for top in self.tops)
