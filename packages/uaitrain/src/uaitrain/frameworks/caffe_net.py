"""A net's layers as plain values, whatever age the prototxt has, and which of them a run uses."""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.frameworks.caffe import modern_type
from uaitrain.frameworks.caffe_schema.fields import ENUMS
from uaitrain.frameworks.prototxt import Document
from uaitrain.frameworks.prototxt_tree import Node
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRAIN = 0
TEST = 1
PHASES = {TRAIN: "TRAIN", TEST: "TEST"}

ONE_BLOB = 1
BATCH_NORM_BLOBS = 3
WITH_BIAS_BY_DEFAULT = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
    "Embed": "embed_param",
}
V1_NAMES = {number: name for name, number in ENUMS["V1LayerParameter.LayerType"].items()}
UNKNOWN_COUNT = frozenset({"Python", "RNN", "LSTM"})


@dataclass(frozen=True)
class State:
    """What ``include`` and ``exclude`` rules are held against."""

    phase: int
    level: int = 0
    stages: frozenset[str] = frozenset()


@dataclass(frozen=True)
class NetLayer:
    """One net layer. ``message`` is a LayerParameter or V1LayerParameter, ``node`` its place."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Any
    node: Node


def layers(document: Document) -> tuple[NetLayer, ...]:
    """All layers of a net; those of a V0 net have only a name and no known type."""
    return tuple(_modern(document)) + tuple(_legacy(document))


def _modern(document: Document) -> Iterator[NetLayer]:
    for index, layer in enumerate(document.message.layer):
        node = document.root.at("layer", index)
        yield NetLayer(layer.name, layer.type, tuple(layer.bottom), tuple(layer.top), layer, node)


def _legacy(document: Document) -> Iterator[NetLayer]:
    for index, layer in enumerate(document.message.layers):
        node = document.root.at("layers", index)
        if layer.HasField("layer"):
            name, kind = layer.layer.name, ""
        else:
            name, kind = layer.name, modern_type(V1_NAMES[layer.type])
        yield NetLayer(name, kind, tuple(layer.bottom), tuple(layer.top), layer, node)


def active(every: tuple[NetLayer, ...], state: State) -> tuple[NetLayer, ...]:
    """The layers that Caffe keeps for ``state`` (its FilterNet)."""
    return tuple(layer for layer in every if _kept(layer.message, state))


def _kept(message: Any, state: State) -> bool:
    if message.include:
        return any(_meets(rule, state) for rule in message.include)
    return not any(_meets(rule, state) for rule in message.exclude)


def _meets(rule: Any, state: State) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and all(stage in state.stages for stage in rule.stage)
        and not any(stage in state.stages for stage in rule.not_stage)
    )


def state_of(message: Any, phase: int) -> State:
    """A NetState with the phase that the solver gives it."""
    return State(phase, message.level, frozenset(message.stage))


def learnable(used: tuple[NetLayer, ...]) -> tuple[int | None, ...] | None:
    """The first dimension of every learnable blob, in Caffe's order, for a TRAIN net.

    A dimension that the prototxt does not tell is None. The whole is None where even the count
    is not known (Python, recurrent and V0 layers). Shared blobs count once.
    """
    found: list[int | None] = []
    owners: set[str] = set()
    for layer in used:
        blobs = _blobs(layer)
        if blobs is None:
            return None
        names = _parameter_names(layer)
        for index, blob in enumerate(blobs):
            name = names[index] if index < len(names) else ""
            if name and name in owners:
                continue
            owners.add(name)
            found.append(blob)
    return tuple(found)


def _parameter_names(layer: NetLayer) -> tuple[str, ...]:
    return tuple(getattr(parameter, "name", parameter) for parameter in layer.message.param)


def _blobs(layer: NetLayer) -> tuple[int | None, ...] | None:
    if not layer.type or layer.type in UNKNOWN_COUNT:
        return None
    field = WITH_BIAS_BY_DEFAULT.get(layer.type)
    if field:
        parameters = getattr(layer.message, field)
        count: int | None = parameters.num_output or None
        # A Deconvolution's weights begin with the input's channels, an Embed's with input_dim.
        weights = count if layer.type in ("Convolution", "InnerProduct") else None
        if layer.type == "InnerProduct" and parameters.transpose:
            weights = None
        return (weights, count) if parameters.bias_term else (weights,)
    if layer.type == "BatchNorm":
        return (None,) * BATCH_NORM_BLOBS
    if layer.type == "Scale":
        own = ONE_BLOB if len(layer.bottoms) == 1 else 0
        return (None,) * (own + int(layer.message.scale_param.bias_term))
    if layer.type == "Bias":
        return (None,) * (ONE_BLOB if len(layer.bottoms) == 1 else 0)
    return (None,) if layer.type in ("PReLU", "Parameter") else ()
