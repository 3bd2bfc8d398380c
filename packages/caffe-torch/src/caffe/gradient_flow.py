"""Through which layers of a net gradients have to flow: those that lead to a loss."""

from __future__ import annotations

from collections.abc import Sequence

from caffe.log import Log
from caffe.node import Node


def plan_backward(nodes: Sequence[Node], force: bool, log: Log) -> None:
    """Walk backwards: what does not lead to a loss needs no gradient."""
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for node in reversed(nodes):
        contributes = any(
            weight or name in under_loss
            for name, weight in zip(node.top_names, node.loss_weights, strict=True)
        )
        skip = all(name in skipped for name in node.top_names)
        if node.needs_backward and skip:
            node.needs_backward = False
            node.wanted = [False] * len(node.wanted)
        if not contributes:
            node.needs_backward = False
        does = "needs" if node.needs_backward else "does not need"
        place = "net.cpp:200" if node.needs_backward else "net.cpp:202"
        log(place, f"{node.layer.name} {does} backward computation.")
        for index, name in enumerate(node.bottom_names):
            if contributes:
                under_loss.add(name)
            else:
                node.wanted[index] = False
            if not node.wanted[index]:
                skipped.add(name)
    if force:
        for node in nodes:
            node.needs_backward = True
            node.wanted = [
                wanted or node.layer.may_force_backward(index)
                for index, wanted in enumerate(node.wanted)
            ]
            node.layer.learns = [True] * len(node.layer.learns)
    for node in nodes:
        node.layer.wants_backward = node.needs_backward
