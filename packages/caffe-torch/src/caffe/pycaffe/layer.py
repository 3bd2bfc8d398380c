"""``caffe.Layer``: what a net layer written in Python derives from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe.pycaffe.blob import Blob, BlobVec


class Layer:
    """Derive from it and write ``setup``, ``reshape``, ``forward`` and ``backward``.

    ``param_str`` is the text of the definition, ``phase`` is caffe.TRAIN or caffe.TEST, ``blobs``
    are the learnable blobs. ``reshape`` is called before every forward, and shapes the tops.
    """

    param_str: str
    phase: int
    blobs: BlobVec

    def __init__(self, param: Any = None) -> None:
        """``param`` is the LayerParameter."""

    @property
    def type(self) -> str:
        return "Python"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read ``param_str``, check counts, add learnable blobs."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no reshape")

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no backward")
