"""A net: layers run forward and backward over named blobs.

The net moves tensors from blob to layer to blob; layers compute. A top is whatever tensor its
layer made, so nothing is copied, unless somebody has looked at the blob through numpy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from caffe import blobproto, fillers
from caffe.blob import Blob
from caffe.errors import ShapeError, SnapshotError, UsageError
from caffe.flat import FlatParameters
from caffe.layers.base import TRAIN, Context, Layer, text
from caffe.learnables import Learnable
from caffe.log import Log, number, silent
from caffe.node import Node
from caffe.random import Random
from caffe.wiring import Where, wire


class Net:
    """``param`` is a NetParameter in 1.0 form whose ``state`` tells phase, level and stages.

    ``where`` tells where a layer of it stands, for errors. ``before_forward`` and its three kin
    are called with the number of each layer that is passed. ``for_gpu``: the net is made to be
    looked at, and what a GPU alone can compute is let pass.
    Raises DefinitionError, ShapeError or DataError for a net that cannot be.
    """

    def __init__(
        self,
        param: Any,
        *,
        device: torch.device | None = None,
        random: Random | None = None,
        rank: int = 0,
        ranks: int = 1,
        log: Log = silent,
        for_gpu: bool = False,
        where: Where = lambda param: "",
    ) -> None:
        self.device = device or torch.device("cpu")
        self.phase: int = param.state.phase
        self.log = log
        self.debug_info = False
        self.before_forward: list[Callable[[int], object]] = []
        self.after_forward: list[Callable[[int], object]] = []
        self.before_backward: list[Callable[[int], object]] = []
        self.after_backward: list[Callable[[int], object]] = []
        self._no_loss = torch.zeros((), device=self.device)
        context = Context(self.phase, self.device, random or Random(), rank, ranks, log, for_gpu)
        wiring = wire(param, context, log, where)
        self.name = wiring.name
        self.param = wiring.param
        self.nodes = wiring.nodes
        self.blobs: Mapping[str, Blob] = wiring.blobs
        self.inputs = wiring.inputs
        self.outputs = wiring.outputs
        self.learnables: Sequence[Learnable] = wiring.learnables
        self.owners = wiring.owners
        self.flat = FlatParameters(
            [each.blob for each in self.learnables],
            [each.lr_mult for each in self.learnables],
            [each.decay_mult for each in self.learnables],
        )
        self._share_flat()
        for node in self.nodes:
            _set_loss_diffs(node)
        _find_read(self.nodes)
        log("net.cpp:257", "Network initialization done.")

    @property
    def layers(self) -> list[Layer]:
        return [node.layer for node in self.nodes]

    @property
    def layer_names(self) -> list[str]:
        return [node.layer.name for node in self.nodes]

    def _share_flat(self) -> None:
        """Blobs that share parameters live in their owner's memory, which has just moved."""
        for node, owners in zip(self.nodes, self.owners, strict=True):
            for blob, (index, _) in zip(node.layer.learnable, owners, strict=True):
                owner = self.learnables[index].blob
                blob.share_data(owner)
                blob.share_diff(owner)

    def forward(self, start: int = 0, end: int | None = None) -> torch.Tensor:
        """Run layers ``start`` to ``end`` (both included).

        Gives the weighted sum of the losses, a scalar tensor on the net's device, so that nobody
        waits for a GPU who does not look at it.
        """
        last = len(self.nodes) - 1 if end is None else end
        total = self._no_loss
        for index in range(start, last + 1):
            node = self.nodes[index]
            for hook in self.before_forward:
                hook(index)
            self._forward(node)
            for top, weight in zip(node.tops, node.loss_weights, strict=True):
                if weight:
                    total = total + (top.data * top.diff).sum()
            if self.debug_info:
                self._tell_forward(node)
            for hook in self.after_forward:
                hook(index)
        return total

    def _forward(self, node: Node) -> None:
        layer = node.layer
        inputs = [bottom.data for bottom in node.bottoms]
        shapes = [tuple(tensor.shape) for tensor in inputs]
        if shapes != node.shapes:
            self._reshape(node, shapes)
        if layer.keeps_tops:
            return
        if layer.shares_learnable:
            node.tops[0].share_data(layer.learnable[0])
            node.tops[0].share_diff(layer.learnable[0])
        if layer.shares_data or layer.shares_learnable:
            node.ran = True
            return
        if node.in_place or layer.copies_bottoms:
            inputs = [
                tensor.clone() if bottom.data_memory.looked_at else tensor
                for tensor, bottom in zip(inputs, node.bottoms, strict=True)
            ]
        for index, (top, tensor) in enumerate(zip(node.tops, layer.forward(inputs), strict=True)):
            if index not in node.filled_once:
                top.data = tensor
        node.ran = True

    def _reshape(self, node: Node, shapes: list[tuple[int, ...]]) -> None:
        node.shapes = shapes
        if node.layer.keeps_tops:
            return
        for top, shape in zip(node.tops, node.layer.reshape(shapes), strict=True):
            top.shape = tuple(shape)
        _set_loss_diffs(node)

    def reshape(self) -> None:
        """Carry changed input shapes through the net. Raises ShapeError."""
        for node in self.nodes:
            self._reshape(node, [bottom.shape for bottom in node.bottoms])

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Run layers ``start`` down to ``end`` (both included) backward. Gradients of learnable
        blobs are added to, those of other blobs replaced."""
        first = len(self.nodes) - 1 if start is None else start
        for index in range(first, end - 1, -1):
            node = self.nodes[index]
            for hook in self.before_backward:
                hook(index)
            if node.needs_backward:
                self._backward(node)
            for hook in self.after_backward:
                hook(index)
        if self.debug_info:
            self._tell_parameters()

    def _backward(self, node: Node) -> None:
        if not node.ran:
            if node.layer.keeps_tops:
                return
            raise UsageError(
                f'backward comes before forward: layer "{node.layer.name}" has not run yet',
                next_step="call forward first",
            )
        diffs: list[Any]
        if node.layer.takes_missing_diffs:
            diffs = [top.diff if top.diff_memory.known else None for top in node.tops]
        else:
            diffs = [top.diff for top in node.tops]
        if node.may_have_changed:
            node.layer.reread([blob.data for blob in node.bottoms], [top.data for top in node.tops])
        found = node.layer.backward(diffs, node.wanted)
        for bottom, wanted, diff in zip(node.bottoms, node.wanted, found, strict=True):
            if wanted and diff is not None:
                bottom.diff = diff
        if self.debug_info:
            self._tell_backward(node)

    def clear_learnable_diffs(self) -> None:
        self.flat.settle()
        self.flat.diff.zero_()

    def share_trained_layers_with(self, other: Net) -> None:
        """Use the learnable blobs of the layers of the same name in ``other``.

        Raises ShapeError where they differ.
        """
        theirs = _by_name(other)
        for node in self.nodes:
            if not theirs.get(node.layer.name):
                continue
            source = theirs[node.layer.name].pop(0)
            mine = node.layer.learnable
            if len(mine) != len(source.learnable):
                raise ShapeError(
                    f'layer "{node.layer.name}" has {len(mine)} learnable blobs here and '
                    f"{len(source.learnable)} in the net to share with"
                )
            for index, (blob, theirs_blob) in enumerate(zip(mine, source.learnable, strict=True)):
                if blob.shape != theirs_blob.shape:
                    raise ShapeError(
                        f'layer "{node.layer.name}", learnable blob {index}: shape '
                        f"{text(blob.shape)} here, {text(theirs_blob.shape)} in the net to share "
                        "with"
                    )
                blob.share_data(theirs_blob)

    def copy_trained_layers_from(self, weights: Any, *, whole: bool = False) -> None:
        """Take the blobs of a NetParameter in 1.0 form, layer by layer, by name.

        Layers that the net lacks are passed over; so are layers of the net that the weights lack,
        unless ``whole``: a snapshot that is gone on from has them all, or it was cut short.
        Raises SnapshotError, naming every blob that does not fit, before anything is copied.
        """
        mine = _by_name(self)
        plan: list[tuple[Blob, Any]] = []
        problems: list[str] = []
        for source in weights.layer:
            if not mine.get(source.name):
                self.log("net.cpp:741", f"Ignoring source layer {source.name}")
                continue
            layer = mine[source.name].pop(0)
            if len(source.blobs) != len(layer.learnable):
                problems.append(
                    f'layer "{source.name}": {len(source.blobs)} blobs in the weights, '
                    f"{len(layer.learnable)} in the net"
                )
                continue
            for index, (blob, proto) in enumerate(zip(layer.learnable, source.blobs, strict=True)):
                if not blobproto.fits(proto, blob.shape):
                    problems.append(
                        f'layer "{source.name}", blob {index}: shape '
                        f"{text(blobproto.shape_of(proto))} in the weights, {text(blob.shape)} "
                        "in the net"
                    )
                plan.append((blob, proto))
        if whole:
            problems += [
                f'layer "{name}" is missing in the weights'
                for name, left in mine.items()
                if any(layer.learnable for layer in left)
            ]
        if problems:
            raise SnapshotError(
                f'the weights do not fit the net "{self.name}": {"; ".join(problems)}',
                next_step="to learn such a layer afresh, give it another name",
            )
        for blob, proto in plan:
            values = fillers.from_proto(proto, blob.shape, SnapshotError)
            blob.data_memory.put(values.to(self.device))

    def first_not_finite(self) -> str:
        """The first layer, in order, whose learnable blob or top is NaN or infinite, in words;
        empty when all are finite."""
        for node in self.nodes:
            for index, blob in enumerate(node.layer.learnable):
                if not bool(torch.isfinite(blob.data).all()):
                    return f'learnable blob {index} of layer "{node.layer.name}"'
            for name, top in zip(node.top_names, node.tops, strict=True):
                if top.data_memory.known and not bool(torch.isfinite(top.data).all()):
                    return f'top "{name}" of layer "{node.layer.name}" ({node.layer.kind})'
        return ""

    def close(self) -> None:
        """End what layers run beside us, such as threads that read data."""
        for node in self.nodes:
            node.layer.close()

    def _tell_forward(self, node: Node) -> None:
        say = self.log
        name = node.layer.name
        for top_name, top in zip(node.top_names, node.tops, strict=True):
            text_ = f"    [Forward] Layer {name}, top blob {top_name} data: {_mean(top.data)}"
            say("net.cpp:593", text_)
        for label, blob in zip(self._labels(node), node.layer.learnable, strict=True):
            say(
                "net.cpp:605",
                f"    [Forward] Layer {name}, param blob {label} data: {_mean(blob.data)}",
            )

    def _tell_backward(self, node: Node) -> None:
        say = self.log
        name = node.layer.name
        for bottom_name, bottom, wanted in zip(
            node.bottom_names, node.bottoms, node.wanted, strict=True
        ):
            if wanted:
                text_ = f"    [Backward] Layer {name}, bottom blob {bottom_name} diff: "
                say("net.cpp:621", text_ + _mean(bottom.diff))
        for index, (label, blob) in enumerate(
            zip(self._labels(node), node.layer.learnable, strict=True)
        ):
            if node.layer.learns[index]:
                text_ = f"    [Backward] Layer {name}, param blob {label} diff: {_mean(blob.diff)}"
                say("net.cpp:632", text_)

    def _tell_parameters(self) -> None:
        data, diff = self.flat.data.double(), self.flat.diff.double()
        sums = (float(data.abs().sum()), float(diff.abs().sum()))
        norms = (math.sqrt(float(data.dot(data))), math.sqrt(float(diff.dot(diff))))
        self.log(
            "net.cpp:721",
            "    [Backward] All net params (data, diff): "
            f"L1 norm = ({number(sums[0])}, {number(sums[1])}); "
            f"L2 norm = ({number(norms[0])}, {number(norms[1])})",
            "E",
        )

    def _labels(self, node: Node) -> list[str]:
        specs = node.layer.param.param
        return [
            specs[index].name if index < len(specs) and specs[index].name else str(index)
            for index in range(len(node.layer.learnable))
        ]


def _by_name(net: Net) -> dict[str, list[Layer]]:
    """The layers of each name in order. Layers may share a name, or have none: then the first of
    a name stands for the first, the second for the second, and so on."""
    found: dict[str, list[Layer]] = {}
    for node in net.nodes:
        found.setdefault(node.layer.name, []).append(node.layer)
    return found


def _set_loss_diffs(node: Node) -> None:
    """The gradient of a loss is its weight, from the start, as pycaffe's users may see."""
    for top, weight in zip(node.tops, node.loss_weights, strict=True):
        if weight:
            top.diff = torch.full(top.shape, weight, device=top.device)


def _find_read(nodes: Sequence[Node]) -> None:
    """Tell each node what its backward reads, and whether that is overwritten before."""
    later: set[int] = set()
    for node in reversed(nodes):
        layer = node.layer
        blobs = (node.bottoms if layer.reads_bottoms else []) + (
            node.tops if layer.reads_tops else []
        )
        node.read = blobs
        node.overwritten = any(id(blob.data_memory) in later for blob in blobs)
        if node.in_place:
            later |= {id(top.data_memory) for top in node.tops}


def _mean(tensor: torch.Tensor) -> str:
    return number(float(tensor.abs().double().sum()) / max(tensor.numel(), 1))


__all__ = ["TRAIN", "Net"]
