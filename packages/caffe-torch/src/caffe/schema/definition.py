"""A definition: its message in Caffe 1.0's form, and where everything stands in its file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from caffe.proto import caffe_pb2
from caffe.schema import solver
from caffe.schema.files import read_text
from caffe.schema.text import at, parse_message
from caffe.schema.tree import Node
from caffe.schema.upgrade import Origin, Upgraded, upgraded

_pb2: Any = caffe_pb2
_NOWHERE = Node("", (1, 1), (1, 1))


@dataclass(frozen=True)
class Definition:
    """``message`` is a NetParameter or a SolverParameter.

    ``notes`` are what a person should know about the old form that was read, a sentence each.
    """

    message: Any
    source: str
    notes: tuple[str, ...] = ()
    root: Node = field(default=_NOWHERE, repr=False)
    origins: tuple[Origin, ...] = field(default=(), repr=False)

    def where(self, kind: str, index_or_name: int | str = 0, field: str = "") -> str:
        """``lenet.prototxt:12:3``, or empty when unknown.

        ``kind`` is ``layer`` (``index_or_name`` counts in the message's ``layer``, or is the name
        of the first such), or ``solver`` or ``net`` (``index_or_name`` is then a field's name or
        nothing). ``field`` may be a path, ``convolution_param.pad``; a field that the file does
        not say gives the place of what it would be in.
        """
        if kind == "layer":
            node = self._layer(index_or_name)
        else:
            node = self.root
            field = str(index_or_name) if isinstance(index_or_name, str) else field
            if not field or node.at(field) is None:
                return ""
        if node is None:
            return ""
        found = node.at(field) if field else None
        return at(self.source, (found or node).place)

    def where_is(self, layer: Any) -> str:
        """Where a layer of ``message`` stands, also after filtering and splitting, which change
        its blobs' names and its phase. Empty when unknown."""
        for index, known in enumerate(self.message.layer):
            same = (known.name, known.type) == (layer.name, layer.type)
            if same and known.include == layer.include and known.exclude == layer.exclude:
                return self.where("layer", index)
        return ""

    def nested(self, field: str, index: int = 0) -> Definition:
        """The net written inside a solver, in the 1.0 form: ``net_param``, ``train_net_param``
        or ``test_net_param`` (number ``index``). Raises DefinitionError."""
        found = getattr(self.message, field)
        if field == "test_net_param":
            found = found[index]
        node = self.root.at(f"{field}[{index}]") or _NOWHERE
        return _net(found, self.source, node)

    def _layer(self, index_or_name: int | str) -> Node | None:
        if isinstance(index_or_name, str):
            names = [layer.name for layer in self.message.layer]
            if index_or_name not in names:
                return None
            index_or_name = names.index(index_or_name)
        if not 0 <= index_or_name < len(self.origins):
            return None
        name, index = self.origins[index_or_name]
        return self.root.at(f"{name}[{index}]")


def read_net(path: str | os.PathLike[str]) -> Definition:
    """The net of a prototxt file. Raises DefinitionError."""
    return parse_net(read_text(path), os.fspath(path))


def parse_net(text: str, source: str = "-") -> Definition:
    """The net of a prototxt text. Raises DefinitionError."""
    message = _pb2.NetParameter()
    root = parse_message(text, message, source)
    return _net(message, source, root)


def read_solver(path: str | os.PathLike[str]) -> Definition:
    """The solver of a prototxt file, its snapshot_prefix as Caffe completes it. Raises
    DefinitionError."""
    found = parse_solver(read_text(path), os.fspath(path))
    solver.complete_prefix(found.message, found.source)
    return found


def parse_solver(text: str, source: str = "-") -> Definition:
    """The solver of a prototxt text. Raises DefinitionError."""
    message = _pb2.SolverParameter()
    root = parse_message(text, message, source)
    unplaced = Definition(message, source, (), root)
    place = _placer(unplaced)
    solver.upgrade_type(message, place)
    solver.check(message, place)
    return unplaced


def upgrade_net(message: Any, source: str = "-") -> Any:
    """A copy of a NetParameter in Caffe 1.0's form; weights too. Raises DefinitionError."""
    return upgraded(message, lambda _origin: source).net


def _net(message: Any, source: str, root: Node) -> Definition:
    def place(origin: Origin) -> str:
        name, index = origin
        node = root.at(f"{name}[{index}]")
        return source if node is None else at(source, node.place)

    new: Upgraded = upgraded(message, place)
    return Definition(new.net, source, new.notes, root, new.origins)


def _placer(definition: Definition) -> Callable[[str], str]:
    return lambda name: definition.where("solver", name) or definition.source
