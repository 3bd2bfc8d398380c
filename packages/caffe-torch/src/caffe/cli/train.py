"""``caffe train``: train a solver's net, from the start, a snapshot, or given weights."""

from __future__ import annotations

from typing import Any

from caffe import devices, log, parallel, process, schema, weights
from caffe.cli import signals
from caffe.cli.arguments import Flags
from caffe.errors import UsageError
from caffe.proto import caffe_pb2
from caffe.solver import Solver


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
    if len(used) > 1:
        return parallel.lead(param, used, flags, request)
    solver = Solver(param, device=used[0], log=log.write, stop_on_nan=flags.stop_on_nan)
    try:
        solver.requested = request
        begin(solver, flags)
        log.write("caffe.cpp:239", "Starting Optimization")
        solver.solve()
        log.write("caffe.cpp:250", "Optimization Done.")
    finally:
        solver.close()
    return 0


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
    if flags.gpu or flags.num_gpus:
        return devices.chosen(flags.gpu, flags.num_gpus)
    # solver_mode's default is GPU, but Caffe asks whether it is written down.
    if param.HasField("solver_mode") and param.solver_mode == caffe_pb2.SolverParameter.GPU:
        return devices.chosen(str(param.device_id))
    return devices.chosen("")
