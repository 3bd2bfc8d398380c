"""A net's outputs as the log tells them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from caffe.log import number
from caffe.net import Net


def loss_weights_of(net: Net) -> dict[str, float]:
    """The loss weight of every top by name."""
    return {
        name: weight
        for node in net.nodes
        for name, weight in zip(node.top_names, node.loss_weights, strict=True)
    }


def with_loss(value: float, weight: float) -> str:
    """``0.25``, or ``0.25 (* 1 = 0.25 loss)`` for a loss."""
    tail = f" (* {number(weight)} = {number(weight * value)} loss)" if weight else ""
    return f"{number(value)}{tail}"


def outputs(net: Net, values: Mapping[str, torch.Tensor]) -> list[str]:
    """``#0: accuracy = 0.97`` for every element of every output."""
    loss_weights = loss_weights_of(net)
    lines: list[str] = []
    for name, tensor in values.items():
        for value in tensor.tolist():
            shown = with_loss(value, loss_weights.get(name, 0.0))
            lines.append(f"#{len(lines)}: {name} = {shown}")
    return lines
