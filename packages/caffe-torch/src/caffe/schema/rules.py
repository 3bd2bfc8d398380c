"""Which net layers a net has in a state: the include and exclude rules."""

from __future__ import annotations

from typing import Any

from caffe.errors import DefinitionError
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2


def filter_layers(net: Any, state: Any) -> Any:
    """A copy of a NetParameter with the layers that belong to ``state`` (a NetState) alone.

    A layer with include rules is in where one of them is met; with exclude rules, where none is.
    ``state`` becomes the copy's own. Raises DefinitionError for a layer with both.
    """
    found = _pb2.NetParameter()
    found.CopyFrom(net)
    found.state.CopyFrom(state)
    del found.layer[:]
    found.layer.extend(layer for layer in net.layer if _belongs(layer, state))
    return found


def _belongs(layer: Any, state: Any) -> bool:
    if layer.include and layer.exclude:
        raise DefinitionError(
            f'layer "{layer.name}" has include and exclude rules',
            allowed="include rules or exclude rules",
            next_step="say it with include alone",
        )
    if layer.include:
        return any(_meets(state, rule) for rule in layer.include)
    return not any(_meets(state, rule) for rule in layer.exclude)


def _meets(state: Any, rule: Any) -> bool:
    """Whether all that the rule says is true of the state."""
    stages = set(state.stage)
    return (
        not (rule.HasField("phase") and rule.phase != state.phase)
        and not (rule.HasField("min_level") and state.level < rule.min_level)
        and not (rule.HasField("max_level") and state.level > rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )
