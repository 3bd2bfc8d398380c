"""``caffe shapes``: every blob's shape and the memory that training needs; nothing is trained.

What only a GPU can compute is refused where the solver says ``solver_mode: CPU``, and let pass
where it may come to run on one.

With ``-json`` one object on standard output, whose keys uaitrain's preflight relies on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from caffe import memory, schema, solver_nets
from caffe.cli import nets
from caffe.cli.arguments import Flags
from caffe.errors import CaffeError, UsageError
from caffe.layers.base import TEST, TRAIN, text
from caffe.net import Net
from caffe.proto import caffe_pb2
from caffe.updates import UPDATES

_BATCHED = ("data_param", "image_data_param", "hdf5_data_param", "memory_data_param",
            "window_data_param")  # fmt: skip
_PATHS = ("source", "mean_file", "root_folder", "file_name")
_FACTORS = (1, 2, 4)
_CPU = caffe_pb2.SolverParameter.CPU


def run(flags: Flags) -> int:
    """Raises CaffeError, unless ``-json`` is given: then the error is an object too."""
    try:
        found = _look(flags)
    except CaffeError as error:
        if not flags.json:
            raise
        facts = {"what": error.what, "allowed": error.allowed, "next_step": error.next_step}
        print(json.dumps({"error": facts}))
        return 1
    print(json.dumps(found) if flags.json else "\n".join(_lines(found)))
    return 0


def _look(flags: Flags) -> dict[str, Any]:
    if bool(flags.solver) == bool(flags.model):
        raise UsageError("shapes needs -solver FILE or -model FILE", allowed="one of them")
    maps = dict(_mapping(word) for word in flags.map)
    tests: list[Net] = []
    histories = 0
    if flags.solver:
        solver = schema.read_solver(_mapped(flags.solver, maps)).message
        for field in ("net", "train_net"):
            if solver.HasField(field):
                setattr(solver, field, _mapped(getattr(solver, field), maps))
        tested = [_mapped(path, maps) for path in solver.test_net]
        del solver.test_net[:]
        solver.test_net.extend(tested)
        on_cpu = solver.HasField("solver_mode") and solver.solver_mode == _CPU
        made = solver_nets.train(solver)[0]
        train = _net(made, TRAIN, solver.train_state, flags, maps, for_gpu=not on_cpu)
        for index, (tested_net, _) in enumerate(solver_nets.tests(solver)):
            state = solver.test_state[index] if solver.test_state else None
            tests.append(_net(tested_net, TEST, state, flags, maps, for_gpu=not on_cpu))
        histories = UPDATES[solver.type].history
    else:
        phase = nets.phase_of(flags, TRAIN)
        train = _net(
            nets.definition(_mapped(flags.model, maps), phase, flags), phase, None, flags, maps
        )
    return _facts(train, tests, histories, flags.batch)


def _facts(train: Net, tests: list[Net], histories: int, batch: int) -> dict[str, Any]:
    needed = memory.of_training(train, tests, histories)
    size = batch or next((n.tops[0].shape[0] for n in train.nodes if n.tops and n.tops[0].shape), 1)
    fixed = needed.total - needed.activations
    return {
        "net": train.name,
        "phase": "TEST" if train.phase == TEST else "TRAIN",
        "batch": size,
        "blobs": [{"name": name, "shape": list(blob.shape)} for name, blob in train.blobs.items()],
        "parameters": [
            {"layer": each.layer, "index": each.index, "shape": list(each.blob.shape)}
            for each in train.learnables
        ],
        "memory": {
            "parameters": needed.parameters,
            "gradients": needed.gradients,
            "history": needed.history,
            "activations": needed.activations,
            "total": needed.total,
        },
        "per_batch": [
            {"batch": size * factor, "total": fixed + needed.activations * factor}
            for factor in _FACTORS
        ],
    }


def _net(
    definition: schema.Definition,
    phase: int,
    state: Any,
    flags: Flags,
    maps: dict[str, str],
    *,
    for_gpu: bool = True,
) -> Net:
    param = definition.message
    merged = caffe_pb2.NetState(phase=phase)
    merged.MergeFrom(param.state)
    if state is not None:
        merged.MergeFrom(state)
    param.state.CopyFrom(merged)
    for layer in param.layer:
        for message in _parts(layer):
            for field in _PATHS:
                if field in message.DESCRIPTOR.fields_by_name and message.HasField(field):
                    setattr(message, field, _mapped(getattr(message, field), maps))
        if flags.batch:
            _set_batch(layer, flags.batch)
    net = Net(param, where=definition.where_is, for_gpu=for_gpu)
    net.close()
    return net


def _parts(layer: Any) -> Iterator[Any]:
    for field, value in layer.ListFields():
        if field.message_type is not None and hasattr(value, "ListFields"):
            yield value


def _set_batch(layer: Any, batch: int) -> None:
    for name in _BATCHED:
        if layer.HasField(name):
            getattr(layer, name).batch_size = batch
    shapes = [*layer.input_param.shape, *layer.dummy_data_param.shape]
    for shape in shapes:
        if shape.dim:
            shape.dim[0] = batch


def _mapping(word: str) -> tuple[str, str]:
    inside, equals, here = word.partition("=")
    if not equals or not inside or not here:
        raise UsageError(f"-map {word}", allowed="PATH=FOLDER")
    return inside.rstrip("/"), here


def _mapped(path: str, maps: dict[str, str]) -> str:
    """Where a path of the definition lies on this machine."""
    for inside in sorted(maps, key=len, reverse=True):
        if path == inside or path.startswith(inside + "/"):
            return maps[inside] + path[len(inside) :]
    return path


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f'net "{found["net"]}", {found["phase"]}, batch {found["batch"]}'
    for blob in found["blobs"]:
        yield f"  {blob['name']:<32} {text(blob['shape'])}"
    yield "memory for training:"
    for name, size in found["memory"].items():
        yield f"  {name:<12} {size / 2**20:10.1f} MiB"
    for each in found["per_batch"]:
        yield f"  at batch {each['batch']:<6} {each['total'] / 2**20:7.1f} MiB"
