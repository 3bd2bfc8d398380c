"""Nets written in Python: ``n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20)``.

``layers`` (usually L) makes a :class:`Function` of any type, ``params`` (P) knows the constants
of the schema, :class:`NetSpec` names the tops. A field goes into the type's own parameter message
where that has it, else into the LayerParameter; one that ends in ``param`` always goes there.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

from caffe.errors import UsageError
from caffe.proto import caffe_pb2

_pb2: Any = caffe_pb2


class NotATopError(UsageError, TypeError):
    """Something else than a top was given as an input."""


class NoSuchFieldError(UsageError, AttributeError):
    """A field that the schema does not have."""


class Top:
    """Output ``n`` of the function ``fn``."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """The NetParameter with all layers that this top needs."""
        return to_proto(self)


class Function:
    """One net layer to be: its type, inputs and fields.

    Of the fields, ``ntop`` (1) and ``in_place`` (False) are ours; an in-place layer's tops have
    the names of its bottoms. Raises NotATopError.
    """

    def __init__(self, type_name: str, inputs: Iterable[Top], params: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.inputs = tuple(inputs)
        for index, given in enumerate(self.inputs):
            if not isinstance(given, Top):
                raise NotATopError(
                    f"{type_name} input {index} is not a Top (type is {type(given)})",
                    allowed="a top of another layer",
                    next_step="give fields by keyword; take one of the tops where ntop is not 1",
                )
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


Named = Union[Top, Function]  # noqa: UP007 - both are defined by now, and mypy wants the name
"""What a NetSpec may hold: a top, or a function without tops."""


class NetSpec:
    """Tops by name, as attributes or items; the order of naming is the order of layers."""

    tops: dict[str, Named]

    def __init__(self) -> None:
        super().__setattr__("tops", {})

    def __setattr__(self, name: str, value: Named) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in self.tops:
            raise AttributeError(name)
        return self.tops[name]

    def __setitem__(self, name: str, value: Named) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def keys(self) -> list[str]:
        return list(self.tops)

    def vals(self) -> list[Named]:
        return list(self.tops.values())

    def update(self, other: Mapping[str, Named]) -> None:
        self.tops.update(other)

    def to_proto(self) -> Any:
        """The NetParameter with all layers that the named tops need. Raises NoSuchFieldError."""
        return _Writer({top: name for name, top in self.tops.items()}).net(self.tops.values())


class Layers:
    """``layers.Type(*bottoms, **fields)`` gives the tops: one, a tuple, or with ``ntop=0`` the
    function itself."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def make(*bottoms: Top, **fields: Any) -> Any:
            function = Function(name, bottoms, fields)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        return make


class Parameters:
    """``params.Pooling.MAX``: a constant of ``PoolingParameter``."""

    def __getattr__(self, name: str) -> Any:
        message = getattr(_pb2, f"{name}Parameter", None)
        if message is None:
            raise NoSuchFieldError(f'there are no parameters of "{name}"')
        return message


def to_proto(*tops: Named) -> Any:
    """The NetParameter with all layers that ``tops`` need, named automatically (``ReLU1``)."""
    return _Writer({}).net(tops)


class _Writer:
    """Walks from tops to what they need, and writes each function once, inputs first."""

    def __init__(self, names: dict[Named, str]) -> None:
        self._names = names
        self._made: Counter[str] = Counter()
        self._layers: dict[Function, Any] = {}

    def net(self, tops: Iterable[Named]) -> Any:
        for top in tops:
            self._write(top if isinstance(top, Function) else top.fn)
        return _pb2.NetParameter(layer=self._layers.values())

    def _write(self, wanted: Function) -> None:
        """With a stack of our own: a net may be deeper than Python recurses."""
        waiting = [wanted]
        while waiting:
            function = waiting[-1]
            missing = [top.fn for top in function.inputs if top.fn not in self._layers]
            if function in self._layers:
                waiting.pop()
            elif missing:
                waiting.append(missing[0])
            else:
                self._layers[function] = self._layer(function)

    def _layer(self, function: Function) -> Any:
        layer = _pb2.LayerParameter(type=function.type_name)
        layer.bottom.extend(self._layers[top.fn].top[top.n] for top in function.inputs)
        if function.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(self._name(top) for top in function.tops)
        layer.name = self._name(function.tops[0] if function.tops else function)
        own = _OWN.get(function.type_name, "")
        for name, value in function.params.items():
            mine = own and not name.endswith("param") and hasattr(getattr(layer, own), name)
            _assign(getattr(layer, own) if mine else layer, name, value)
        return layer

    def _name(self, named: Named) -> str:
        if named not in self._names:
            kind = (named if isinstance(named, Function) else named.fn).type_name
            self._made[kind] += 1
            self._names[named] = f"{kind}{self._made[kind]}"
        return self._names[named]


def _assign(message: Any, name: str, value: Any) -> None:
    """A dict fills a message, a list a repeated field; one value is a list of one there."""
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        names = [known.name for known in message.DESCRIPTOR.fields]
        near = difflib.get_close_matches(name, names, n=1)
        raise NoSuchFieldError(
            f'{message.DESCRIPTOR.name} has no field "{name}"',
            next_step=f'did you mean "{near[0]}"?' if near else "see caffe.proto for its fields",
        )
    if not field.is_repeated:
        if isinstance(value, dict):
            for inner, one in value.items():
                _assign(getattr(message, name), inner, one)
        else:
            setattr(message, name, value)
        return
    repeated = getattr(message, name)
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(one, dict):
            item = repeated.add()
            for inner, deeper in one.items():
                _assign(item, inner, deeper)
        else:
            repeated.append(one)


_OWN = {
    field.message_type.name.removesuffix("Parameter"): field.name
    for field in _pb2.LayerParameter.DESCRIPTOR.fields
    if field.name.endswith("_param")
}
"""By a layer type, the field of its own parameter message."""

layers = Layers()
params = Parameters()
