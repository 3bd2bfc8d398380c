"""How much memory training a net needs, told from its shapes before anything runs.

An estimate of what the engine itself keeps, in bytes: the learnable blobs, their gradients and
the solver's history, and of each net every blob's data, with its gradient where one flows, and
what a layer keeps for its backward pass beside its tops; and while a layer computes, its blobs once
more in another layout, and its new tops beside those of the iteration before.

bench/engine/memory.py compares it with what trainings on a CPU took: 0.8 to 1.2 of that, for each
batch item. What torch takes on top (a GPU's convolutions choose workspaces by themselves, the CUDA
context is about 500 MB) is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe.net import Net
from caffe.node import Node

FLOAT = 4
_KEPT = {"Pooling": 8, "Dropout": 4, "LRN": 4, "BatchNorm": 4, "SoftmaxWithLoss": 4}
"""Bytes an element of the first bottom or top that a type keeps for its backward pass."""


@dataclass(frozen=True)
class Memory:
    """Bytes. ``activations`` are those of the train net and the largest test net together."""

    parameters: int
    gradients: int
    history: int
    activations: int

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.history + self.activations


def of_training(train: Net, tests: Sequence[Net], histories: int) -> Memory:
    """What a solver with ``histories`` history values a weight needs."""
    parameters = FLOAT * sum(each.blob.count for each in train.learnables)
    tested = max((activations(net) for net in tests), default=0)
    return Memory(parameters, parameters, histories * parameters, activations(train) + tested)


def activations(net: Net) -> int:
    """Bytes of a net's blobs, gradients, what its layers keep and what they pass through."""
    passing = max((_of_blobs(node) for node in net.nodes), default=0)
    return sum(_of_node(node) for node in net.nodes) + 2 * passing


def _of_blobs(node: Node) -> int:
    return FLOAT * sum(blob.count for blob in (*node.bottoms, *node.tops))


def _of_node(node: Node) -> int:
    tops = 0 if node.layer.shares_data else FLOAT * sum(top.count for top in node.tops)
    if not node.needs_backward:
        return tops
    diffs = FLOAT * sum(
        bottom.count
        for bottom, wanted in zip(node.bottoms, node.wanted, strict=True)
        if wanted and not node.layer.shares_diff
    )
    kept = _KEPT.get(node.layer.kind, 0) * (node.tops[0].count if node.tops else 0)
    return tops + diffs + kept


__all__ = ["Memory", "activations", "of_training"]
