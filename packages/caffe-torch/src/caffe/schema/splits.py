"""Split layers where a blob is used more than once, by Caffe's names.

A split copies its bottom to its tops and adds their gradients. A top with a loss weight that is
not 0 counts as one more use: its weight moves to the split's first top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from caffe.errors import DefinitionError
from caffe.proto import caffe_pb2
from caffe.schema.text import did_you_mean

_pb2: Any = caffe_pb2

Top = tuple[int, int]
"""A layer's index and a top's index in it."""


Where = Callable[[Any], str]
"""From a LayerParameter to where it stands, or empty."""


def insert_splits(net: Any, where: Where = lambda layer: "") -> Any:
    """A copy of a NetParameter (filtered) with its splits. Raises DefinitionError.

    As in Caffe, all loss weights of a layer go once one of its tops with a loss weight is split.
    """
    sources, uses, weights = _wiring(net, where)
    given: Counter[Top] = Counter()
    found = _pb2.NetParameter()
    found.CopyFrom(net)
    del found.layer[:]
    for index, old in enumerate(net.layer):
        layer = found.layer.add()
        layer.CopyFrom(old)
        for number, bottom in enumerate(old.bottom):
            top = sources[index, number]
            if uses[top] > 1:
                owner = net.layer[top[0]].name
                layer.bottom[number] = _blob(owner, bottom, top[1], given[top])
                given[top] += 1
        for number, blob in enumerate(old.top):
            top = (index, number)
            if uses[top] <= 1:
                continue
            weight = weights.get(top, 0.0)
            found.layer.append(_split(old.name, blob, number, uses[top], weight))
            if weight:
                layer.ClearField("loss_weight")
                given[top] += 1
    _refuse_tops_made_twice(found, where)
    return found


def _refuse_tops_made_twice(net: Any, where: Where) -> None:
    """In a split net each name is made once; a layer in place makes none."""
    makers: dict[str, str] = {}
    for layer in net.layer:
        for number, blob in enumerate(layer.top):
            if list(layer.bottom[number : number + 1]) == [blob]:
                continue
            if blob in makers:
                raise DefinitionError(
                    f'{_subject(layer, where)}: top {number}, "{blob}", is made by '
                    f'layer "{makers[blob]}" already',
                    allowed="a name of its own; or that of its bottom, where no other layer before "
                    "this one uses it",
                    next_step="give this top another name",
                )
            makers[blob] = layer.name


def _wiring(
    net: Any, where: Where
) -> tuple[dict[tuple[int, int], Top], Counter[Top], dict[Top, float]]:
    """Each bottom's source, how often each top is used, and the tops' loss weights."""
    last: dict[str, Top] = {}
    sources: dict[tuple[int, int], Top] = {}
    uses: Counter[Top] = Counter()
    weights: dict[Top, float] = {}
    for index, layer in enumerate(net.layer):
        for number, blob in enumerate(layer.bottom):
            if blob not in last:
                raise DefinitionError(
                    f'{_subject(layer, where)}: unknown bottom {number}, "{blob}": '
                    "no layer before it in this phase has such a top",
                    allowed=", ".join(last) or "nothing: no layer before it has a top",
                    next_step=did_you_mean(blob, last),
                )
            sources[index, number] = last[blob]
            uses[last[blob]] += 1
        for number, blob in enumerate(layer.top):
            last[blob] = (index, number)
        for blob, weight in zip(layer.top, layer.loss_weight, strict=False):
            weights[last[blob]] = weight
            if weight:
                uses[last[blob]] += 1
    return sources, uses, weights


def _subject(layer: Any, where: Where) -> str:
    place = where(layer)
    return f'{place}: layer "{layer.name}" ({layer.type})'.removeprefix(": ")


def _blob(layer: str, blob: str, top: int, number: int) -> str:
    return f"{blob}_{layer}_{top}_split_{number}"


def _split(layer: str, blob: str, top: int, count: int, weight: float) -> Any:
    split = _pb2.LayerParameter(name=f"{blob}_{layer}_{top}_split", type="Split", bottom=[blob])
    for number in range(count):
        split.top.append(_blob(layer, blob, top, number))
        if weight:
            split.loss_weight.append(0.0 if number else weight)
    return split
