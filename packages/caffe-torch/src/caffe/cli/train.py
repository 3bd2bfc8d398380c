"""``caffe train``: train a solver's net, from the start, a snapshot, or given weights."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from caffe import devices, log, parallel, process, schema, weights
from caffe.cli import signals
from caffe.cli.arguments import Flags
from caffe.errors import UsageError
from caffe.proto import caffe_pb2
from caffe.solver import Action, Solver


def run(flags: Flags) -> int:
    """Raises CaffeError."""
    if not flags.solver:
        raise UsageError("Need a solver definition to train.", next_step="caffe train -solver FILE")
    if flags.snapshot and flags.weights:
        raise UsageError("Give a snapshot to resume training or weights to finetune but not both.")
    param = schema.read_solver(flags.solver).message
    param.train_state.level = flags.level
    param.train_state.stage.extend(flags.stages)
    used = _devices(flags, param)
    names = ", ".join(str(device.index) for device in used if device.index is not None)
    log.write(
        *(("caffe.cpp:204", f"Using GPUs {names}") if names else ("caffe.cpp:197", "Use CPU."))
    )
    request = signals.watch(
        signals.effect(flags.sigint_effect), signals.effect(flags.sighup_effect)
    )
    process.keep_memory()
    where = parallel.place()
    if where is not None:
        if parallel.is_follower():
            parallel.end_with_leader()
        _train_among(where, used, param, flags, request)
    elif len(used) > 1:
        with parallel.followers(len(used), [sys.executable, "-m", "caffe", *sys.argv[1:]]):
            _train_among(parallel.Place(0, len(used)), used, param, flags, request)
    else:
        solver = Solver(
            param,
            device=used[0],
            log=log.write,
            stop_on_nan=flags.stop_on_nan,
            source=flags.solver,
        )
        _train(solver, flags, request)
    return 0


Request = Callable[[], Action]


def _train_among(
    where: parallel.Place, used: list[Any], param: Any, flags: Flags, request: Request
) -> None:
    """As one solver of several. A launcher's LOCAL_RANK chooses the device on each machine."""
    device = used[int(os.environ.get("LOCAL_RANK", where.rank)) % len(used)]
    with parallel.joined(where, device):
        solver = Solver(
            param,
            device=device,
            rank=where.rank,
            ranks=where.ranks,
            log=log.write,
            stop_on_nan=flags.stop_on_nan,
            source=flags.solver,
        )
        averaging = parallel.Averaging(solver)
        _train(solver, flags, request, averaging.agree_on_start)
        if not parallel.is_follower():
            parallel.tell_end(solver)


def _train(
    solver: Solver, flags: Flags, request: Request, begun: Callable[[], None] = lambda: None
) -> None:
    try:
        solver.requested = request
        begin(solver, flags)
        begun()
        solver.log("caffe.cpp:239", "Starting Optimization")
        solver.solve()
        solver.log("caffe.cpp:250", "Optimization Done.")
    finally:
        solver.close()


def begin(solver: Solver, flags: Flags) -> None:
    """Resume from a snapshot, or take the given weights."""
    if flags.snapshot:
        solver.log("caffe.cpp:229", f"Resuming from {flags.snapshot}")
        solver.restore(flags.snapshot)
    for path in filter(None, flags.weights.split(",")):
        solver.log("caffe.cpp:124", f"Finetuning from {path}")
        for net in (solver.net, *solver.test_nets):
            weights.load(net, path)


def _devices(flags: Flags, param: Any) -> list[Any]:
    """Flags decide; without them the solver's solver_mode and device_id do."""
    if flags.solvers > 1:
        return [devices.CPU] * flags.solvers
    if flags.gpu or flags.num_gpus:
        return devices.chosen(flags.gpu, flags.num_gpus)
    # solver_mode's default is GPU, but Caffe asks whether it is written down.
    if param.HasField("solver_mode") and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        return devices.chosen(str(param.device_id))
    return devices.chosen("")
