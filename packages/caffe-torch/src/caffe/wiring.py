"""From a net definition to layers that are connected: who reads and writes which blob, who owns
which learnable blob, and where gradients have to flow.

The rules are those of Caffe's Net::Init, in its order; random numbers are drawn in that order
too, because layers fill their learnable blobs as they are set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from caffe import layers, schema
from caffe.blob import Blob
from caffe.errors import CaffeError, DefinitionError, ShapeError
from caffe.gradient_flow import plan_backward
from caffe.layers.base import Context, text
from caffe.learnables import Learnable, Owners
from caffe.log import Log
from caffe.node import Node


@dataclass
class Wiring:
    """``nodes`` in the order of execution. ``blobs`` by name, in the order in which they are
    made; anonymous (automatic) tops are not in it. ``owners[i]`` tells for each blob of each
    layer, in order, the index in ``learnables``, and whether the layer owns it."""

    name: str
    param: Any
    nodes: list[Node] = field(default_factory=list)
    blobs: dict[str, Blob] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    learnables: list[Learnable] = field(default_factory=list)
    owners: list[list[tuple[int, bool]]] = field(default_factory=list)
    memory: int = 0


Where = Callable[[Any], str]
"""From a LayerParameter to where it stands, ``net.prototxt:12:1``, or empty."""


def wire(param: Any, context: Context, log: Log, where: Where) -> Wiring:
    """Connect the layers of a NetParameter in 1.0 form, whose ``state`` says phase, level, stages.

    Raises DefinitionError, ShapeError, DataError, with the place of the layer in front.
    """
    filtered = schema.filter_layers(param, param.state)
    for skipped in _skipped(param, filtered):
        log("net.cpp:296", skipped)
    log("net.cpp:53", f"Initializing net from parameters: \n{filtered}")
    split = schema.insert_splits(filtered, where)
    wiring = Wiring(split.name, split)
    builder = _Builder(wiring, context, log)
    for layer_param in split.layer:
        try:
            builder.add(layer_param)
        except CaffeError as error:
            builder.close()
            raise error.at(where(layer_param)) from error.__cause__
    plan_backward(wiring.nodes, split.force_backward, log)
    builder.finish()
    return wiring


def _skipped(param: Any, filtered: Any) -> Iterator[str]:
    left = list(reversed(filtered.layer))
    for layer in param.layer:
        if left and layer == left[-1]:
            left.pop()
            continue
        rule = next(iter(layer.include), None) or next(iter(layer.exclude), None)
        if rule is not None and rule.HasField("phase") and rule.phase != param.state.phase:
            yield (
                f"The NetState phase ({param.state.phase}) differed from the phase "
                f"({rule.phase}) specified by a rule in layer {layer.name}"
            )


class _Builder:
    def __init__(self, wiring: Wiring, context: Context, log: Log) -> None:
        self._wiring = wiring
        self._context = context
        self._log = log
        self._needs_gradient: dict[str, bool] = {}
        self._available: dict[str, None] = {}
        self._owners = Owners(wiring.learnables, wiring.owners, log)

    def add(self, param: Any) -> None:
        if not param.HasField("phase"):
            param.phase = self._context.phase
        if param.propagate_down and len(param.propagate_down) != len(param.bottom):
            raise DefinitionError(
                f'layer "{param.name}": {len(param.propagate_down)} propagate_down for '
                f"{len(param.bottom)} bottoms",
                allowed="none, or one for each bottom",
            )
        context = self._context
        if param.phase != context.phase:
            context = replace(context, phase=param.phase)
        self._log("layer_factory.hpp:77", f"Creating layer {param.name}")
        layer = layers.create(param, context)
        self._log("net.cpp:86", f"Creating Layer {param.name}")
        node = Node(layer, [], [], [], [], [], [])
        for index, name in enumerate(param.bottom):
            self._add_bottom(node, index, name)
        for index, name in enumerate(param.top):
            self._add_top(node, index, name)
        least = layer.tops[0]
        if layer.auto_tops:
            while len(node.tops) < least:
                self._add_top(node, len(node.tops), "(automatic)", automatic=True)
        _check_counts(node)
        self._set_up(node)
        needs = any(self._needs_gradient.get(name, False) for name in node.bottom_names)
        needs |= self._owners.add(node.layer)
        node.needs_backward = needs
        if needs:
            for name in node.top_names:
                self._needs_gradient[name] = True
        self._wiring.nodes.append(node)

    def close(self) -> None:
        for node in self._wiring.nodes:
            node.layer.close()

    def _add_bottom(self, node: Node, index: int, name: str) -> None:
        if name not in self._available:
            near = ", ".join(f'"{known}"' for known in self._available) or "none"
            raise DefinitionError(
                f'layer "{node.layer.name}": bottom {index} is "{name}", which no layer before it '
                "makes",
                allowed=f"the tops that are there: {near}",
            )
        self._log("net.cpp:408", f"{node.layer.name} <- {name}")
        del self._available[name]
        node.bottoms.append(self._wiring.blobs[name])
        node.bottom_names.append(name)
        down = node.layer.param.propagate_down
        node.wanted.append(down[index] if down else self._needs_gradient[name])

    def _add_top(self, node: Node, index: int, name: str, automatic: bool = False) -> None:
        blobs = self._wiring.blobs
        if not automatic and index < len(node.bottom_names) and node.bottom_names[index] == name:
            if not node.layer.in_place:
                raise DefinitionError(
                    f'layer "{node.layer.name}" ({node.layer.kind}): top "{name}" has the name of '
                    "its bottom, but this type cannot work in place",
                    next_step="give the top a name of its own",
                )
            self._log("net.cpp:369", f"{node.layer.name} -> {name} (in-place)")
            node.tops.append(blobs[name])
        elif not automatic and name in blobs:
            raise DefinitionError(
                f'layer "{node.layer.name}": top "{name}" is made by another layer already',
                next_step="give one of the two another name",
            )
        else:
            self._log("net.cpp:382", f"{node.layer.name} -> {name}")
            blob = Blob((0,), self._context.device)
            node.tops.append(blob)
            if not automatic:
                blobs[name] = blob
                self._needs_gradient[name] = False
                if node.layer.kind == "Input":
                    self._wiring.inputs.append(name)
        if not automatic:
            self._available[name] = None
        node.top_names.append(name)

    def _set_up(self, node: Node) -> None:
        layer = node.layer
        node.shapes = [bottom.shape for bottom in node.bottoms]
        try:
            layer.setup(node.shapes)
            shapes = layer.reshape(node.shapes)
        except ShapeError as error:
            raise self._with_makers(error, node) from None
        if len(shapes) != len(node.tops):
            raise layer.refuse(f"has {len(node.tops)} tops", allowed=str(len(shapes)))
        for top, shape in zip(node.tops, shapes, strict=True):
            top.shape = tuple(shape)
            if layer.shares_data:
                top.share_data(node.bottoms[0])
            if layer.shares_diff:
                top.share_diff(node.bottoms[0])
        for index, constant in layer.constants().items():
            node.tops[index].data = constant
            node.filled_once.add(index)
        node.loss_weights = _loss_weights(node)
        self._log("net.cpp:124", f"Setting up {layer.name}")
        for top, weight in zip(node.tops, node.loss_weights, strict=True):
            sizes = "".join(f"{size} " for size in top.shape)
            self._log("net.cpp:131", f"Top shape: {sizes}({top.count})")
            if weight:
                self._log("net.cpp:134", f"    with loss weight {weight:.6g}")
            self._wiring.memory += top.count
        self._log("net.cpp:139", f"Memory required for data: {4 * self._wiring.memory}")

    def _with_makers(self, error: ShapeError, node: Node) -> ShapeError:
        """Add who made the bottoms, and of which shapes: half of a misfit is always there."""
        makers = []
        for name, shape in zip(node.bottom_names, node.shapes, strict=True):
            maker = next(
                (n.layer for n in reversed(self._wiring.nodes) if name in n.top_names), None
            )
            if maker is not None:
                makers.append(f'"{name}" of {text(shape)} from layer "{maker.name}"')
        what = f"{error.what} (bottoms: {', '.join(makers)})" if makers else error.what
        return ShapeError(what, allowed=error.allowed, next_step=error.next_step)

    def finish(self) -> None:
        for name in sorted(self._available):
            self._log("net.cpp:244", f"This network produces output {name}")
            self._wiring.outputs.append(name)
        for node, owners in zip(self._wiring.nodes, self._wiring.owners, strict=True):
            for blob, (number, owned) in zip(node.layer.learnable, owners, strict=True):
                if not owned:
                    blob.share_data(self._wiring.learnables[number].blob)
                    blob.share_diff(self._wiring.learnables[number].blob)


def _check_counts(node: Node) -> None:
    layer = node.layer
    for what, found, (least, most) in (
        ("bottoms", len(node.bottoms), layer.bottoms),
        ("tops", len(node.tops), layer.tops),
    ):
        if found < least or (most is not None and found > most):
            allowed = str(least) if least == most else f"{least} or more"
            if most is not None and most != least:
                allowed = f"{least} to {most}"
            raise layer.refuse(f"has {found} {what}", allowed=allowed)
    if layer.as_many_tops_as_bottoms and len(node.bottoms) != len(node.tops):
        raise layer.refuse(
            f"has {len(node.bottoms)} bottoms and {len(node.tops)} tops", allowed="as many of each"
        )


def _loss_weights(node: Node) -> list[float]:
    given = list(node.layer.param.loss_weight)
    if not given and node.layer.is_loss:
        given = [1.0]
    if not given:
        return [0.0] * len(node.tops)
    if len(given) != len(node.tops):
        raise node.layer.refuse(
            f"has {len(given)} loss_weight for {len(node.tops)} tops",
            allowed="none, or one for each top",
        )
    return given
