"""Which nets a solver definition names: one to train, and any number to test."""

from __future__ import annotations

from typing import Any

from caffe import schema


def train(param: Any) -> tuple[schema.Definition, str, str]:
    """The definition of a solver's train net, and how the log tells where it is from. Raises
    DefinitionError."""
    for field, place, source in (
        ("train_net_param", "solver.cpp:90", "specified in train_net_param."),
        ("train_net", "solver.cpp:94", f"from train_net file: {param.train_net}"),
        ("net_param", "solver.cpp:98", "specified in net_param."),
    ):
        if param.HasField(field):
            return _definition(param, field), place, source
    return schema.read_net(param.net), "solver.cpp:102", f"from net file: {param.net}"


def tests(param: Any) -> list[tuple[schema.Definition, str]]:
    """The definition and source of every test net, in Caffe's order: test_net_param, test_net,
    then the general net once for each test_iter that is left. Raises DefinitionError."""
    found = [
        (schema.Definition(schema.upgrade_net(net), "-"), "test_net_param")
        for net in param.test_net_param
    ]
    found += [(schema.read_net(path), f"test_net file: {path}") for path in param.test_net]
    field = "net_param" if param.HasField("net_param") else "net"
    source = "net_param" if field == "net_param" else f"net file: {param.net}"
    for _ in range(len(param.test_iter) - len(found)):
        found.append((_definition(param, field), source))
    return found


def _definition(param: Any, field: str) -> schema.Definition:
    value = getattr(param, field)
    if isinstance(value, str):
        return schema.read_net(value)
    return schema.Definition(schema.upgrade_net(value), "-")
