"""A solver: trains a net, tests it, and keeps snapshots, in the order of Caffe's Solver::Step.

It reads top to bottom like that order: zero the gradients, test if due, callbacks, forward and
backward (iter_size times), display, callbacks, rate, clip, update, count, snapshot if due.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import torch

from caffe import rates, report, schema, snapshot, solver_nets, weights
from caffe.errors import DefinitionError, NumericError, SnapshotError
from caffe.layers.base import TEST, TRAIN, text
from caffe.log import WARNING, Log, number, silent
from caffe.net import Net
from caffe.proto import caffe_pb2
from caffe.random import Random
from caffe.updates import Update


class Action(Enum):
    """What somebody outside wants of a running solver; asked once an iteration."""

    NONE = 0
    STOP = 1
    SNAPSHOT = 2


class Callback(Protocol):
    """Called in every iteration: before forward, and when the gradients are complete."""

    def on_start(self) -> None: ...

    def on_gradients_ready(self) -> None: ...


class Solver:
    """``param`` is a SolverParameter in 1.0 form (:func:`caffe.schema.read_solver`).

    ``rank`` and ``ranks`` say which of how many solvers this is; only rank 0 logs, tests and
    snapshots. ``requested`` is asked once an iteration what to do; ``agree`` makes one answer of
    those of several solvers. ``random`` is the stream to draw from; the definition's random_seed
    starts it anew. ``stop_on_nan`` makes a loss that is not a number an error; else it is a
    warning.

    Raises DefinitionError and what building the nets raises.
    """

    def __init__(
        self,
        param: Any,
        *,
        device: torch.device | None = None,
        rank: int = 0,
        ranks: int = 1,
        random: Random | None = None,
        log: Log = silent,
        stop_on_nan: bool = False,
        source: str = "",
    ) -> None:
        self.param = param
        self.device = device or torch.device("cpu")
        self.rank = rank
        self.ranks = ranks
        self.log = log if rank == 0 else silent
        self.stop_on_nan = stop_on_nan
        self.callbacks: list[Callback] = []
        self.requested: Callable[[], Action] = lambda: Action.NONE
        self.agree: Callable[[Action], Action] = lambda action: action
        self.log("solver.cpp:45", f"Initializing solver from parameters: \n{param}")
        if rank == 0 and param.snapshot:
            if not param.snapshot_prefix:
                raise DefinitionError("snapshot is given, snapshot_prefix is not")
            snapshot.check_writable(self.snapshot_path(0, ".tempfile"))
        self.random = random or Random()
        if param.random_seed >= 0:
            self.random.seed(param.random_seed + rank)
        self.net = self._train_net()
        self.test_nets = self._test_nets() if rank == 0 else []
        try:
            self.update = Update(param, self.net.flat)
            self.rate = rates.Rate(param)
        except DefinitionError as error:
            self.close()
            raise error.at(source) from None
        self.iter = 0
        self.stopped_early = False
        self._losses: list[torch.Tensor] = []
        self._smoothed = torch.zeros((), device=self.device)
        self._last_display = (time.monotonic(), 0)
        self._told_nan = False
        self.log("solver.cpp:57", "Solver scaffolding done.")

    def _net(self, definition: schema.Definition, phase: int, state: Any) -> Net:
        """State: the solver's phase, then what the net says, then what the solver says."""
        param = definition.message
        merged = caffe_pb2.NetState(phase=phase)
        merged.MergeFrom(param.state)
        if state is not None:
            merged.MergeFrom(state)
        param.state.CopyFrom(merged)
        net = Net(
            param,
            device=self.device,
            random=self.random,
            rank=self.rank,
            ranks=self.ranks,
            log=self.log,
            where=definition.where_is,
        )
        for path in self.param.weights:
            weights.load(net, path)
        return net

    def _train_net(self) -> Net:
        definition, place, source = solver_nets.train(self.param)
        self.log(place, f"Creating training net {source}")
        return self._net(definition, TRAIN, self.param.train_state)

    def _test_nets(self) -> list[Net]:
        nets = []
        for index, (definition, source) in enumerate(solver_nets.tests(self.param)):
            self.log("solver.cpp:190", f"Creating test net (#{index}) specified by {source}")
            state = self.param.test_state[index] if self.param.test_state else None
            nets.append(self._net(definition, TEST, state))
        return nets

    def solve(self, resume: str | Path = "") -> None:
        """Train to ``max_iter``, from the solver state ``resume`` if one is given.

        Raises SnapshotError, DataError, NumericError.
        """
        param = self.param
        self.log("solver.cpp:289", f"Solving {self.net.name}")
        self.log("solver.cpp:290", f"Learning Rate Policy: {param.lr_policy}")
        self.stopped_early = False
        if resume:
            self.log("solver.cpp:295", f"Restoring previous solver status from {resume}")
            self.restore(resume)
        start = self.iter
        self.step(param.max_iter - self.iter)
        due = param.snapshot and self.iter % param.snapshot == 0
        if param.snapshot_after_train and not due and self.rank == 0:
            self.snapshot()
        if self.stopped_early:
            self.log("solver.cpp:314", "Optimization stopped early.")
            return
        if param.display and self.iter % param.display == 0:
            self._smooth(self.net.forward(), start)
            self.log("solver.cpp:327", f"Iteration {self.iter}, loss = {self._shown_loss()}")
        if param.test_interval and self.iter % param.test_interval == 0:
            self.test_all()
        self.log("solver.cpp:332", "Optimization Done.")

    def step(self, iterations: int) -> None:
        """``iterations`` more iterations, or fewer when a stop is requested."""
        param, net = self.param, self.net
        start, stop = self.iter, self.iter + iterations
        self._losses = []
        self._smoothed = torch.zeros((), device=self.device)
        self._last_display = (time.monotonic(), self._last_display[1])
        while self.iter < stop:
            net.clear_learnable_diffs()
            if self._test_is_due():
                self.test_all()
                if self.stopped_early and self.ranks == 1:
                    break
            for callback in self.callbacks:
                callback.on_start()
            display = bool(param.display) and self.iter % param.display == 0
            net.debug_info = display and param.debug_info
            loss = torch.zeros((), device=self.device)
            for _ in range(param.iter_size):
                loss = loss + net.forward()
                net.backward()
            loss = loss / param.iter_size
            self._smooth(loss, start)
            if display:
                self._display()
            if display or self.device.type == "cpu":
                self._check(loss)
            for callback in self.callbacks:
                callback.on_gradients_ready()
            self.apply_update()
            self.iter += 1
            request = self.agree(Action.STOP if self.stopped_early else self.requested())
            due = param.snapshot and self.iter % param.snapshot == 0
            if (due or request is Action.SNAPSHOT) and self.rank == 0:
                self.snapshot()
            if request is Action.STOP:
                self.stopped_early = True
                break

    def apply_update(self) -> None:
        """Rate, clipping, normalisation, decay, update; :mod:`caffe.updates` has the formulas."""
        self.net.flat.settle()
        step = self.rate.current_step
        rate = self.rate.at(self.iter)
        if self.param.lr_policy == "multistep" and self.rate.current_step != step:
            step = self.rate.current_step
            self.log("sgd_solver.cpp:50", f"MultiStep Status: Iteration {self.iter}, step = {step}")
        if self.param.display and self.iter % self.param.display == 0:
            self.log("sgd_solver.cpp:112", f"Iteration {self.iter}, lr = {number(rate)}")
        clipped = self.update.clip(self.param.clip_gradients)
        if clipped:
            norm, factor = clipped
            limit = number(self.param.clip_gradients)
            self.log(
                "sgd_solver.cpp:93",
                f"Gradient clipping: scaling down gradients (L2 norm {number(norm)} > {limit}) by "
                f"scale factor {number(factor)}",
            )
        self.update.apply(rate, self.iter)

    def _test_is_due(self) -> bool:
        interval = self.param.test_interval
        if not interval or self.iter % interval:
            return False
        return self.rank == 0 and (self.iter > 0 or self.param.test_initialization)

    def test_all(self) -> None:
        """Run every test net test_iter times and log the mean of each output."""
        for index in range(len(self.test_nets)):
            if self.stopped_early:
                return
            self.test(index)

    def test(self, index: int) -> None:
        """Run test net ``index``."""
        self.log("solver.cpp:347", f"Iteration {self.iter}, Testing net (#{index})")
        net, rounds = self.test_nets[index], self.param.test_iter[index]
        net.share_trained_layers_with(self.net)
        net.debug_info = self.param.debug_info
        sums: dict[str, torch.Tensor] = {}
        loss = torch.zeros((), device=self.device)
        for _ in range(rounds):
            while (request := self.requested()) is not Action.NONE:
                if request is Action.SNAPSHOT:
                    self.snapshot()
                else:
                    self.stopped_early = True
            if self.stopped_early:
                self.log("solver.cpp:379", "Test interrupted.")
                return
            loss = loss + net.forward()
            for name in net.outputs:
                result = net.blobs[name].data.reshape(-1)
                sums[name] = sums[name] + result if name in sums else result.clone()
        if self.param.test_compute_loss:
            self.log("solver.cpp:399", f"Test loss: {number(float(loss) / rounds)}")
        means = {name: total / rounds for name, total in sums.items()}
        for line in report.outputs(net, means):
            self.log("solver.cpp:414", f"    Test net output {line}")

    def snapshot(self) -> Path:
        """Write weights, then state; gives the path of the weights. Raises SnapshotError."""
        hdf5 = self.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
        model = self.snapshot_path(self.iter, ".caffemodel.h5" if hdf5 else ".caffemodel")
        kind = "HDF5 file" if hdf5 else "binary proto file"
        place = "solver.cpp:475" if hdf5 else "solver.cpp:464"
        self.log(place, f"Snapshotting to {kind} {model}")
        weights.save(self.net, model, diff=self.param.snapshot_diff)
        path = self.snapshot_path(self.iter, ".solverstate.h5" if hdf5 else ".solverstate")
        place = "sgd_solver.cpp:294" if hdf5 else "sgd_solver.cpp:284"
        self.log(place, f"Snapshotting solver state to {kind} {path}")
        history = [blob.detach().cpu().numpy() for blob in self.update.history]
        state = snapshot.SolverState(self.iter, str(model), history, self.rate.current_step)
        snapshot.write_state(path, state)
        return model

    def snapshot_path(self, iteration: int, extension: str) -> Path:
        return Path(f"{self.param.snapshot_prefix}_iter_{iteration}{extension}")

    def restore(self, path: str | Path) -> None:
        """Go on from a solver state and the weights that it names. Raises SnapshotError, and then
        nothing has changed."""
        state = snapshot.read_state(path)
        if len(state.history) != len(self.update.history):
            raise SnapshotError(
                f"{path} has {len(state.history)} history blobs, this solver "
                f"({self.param.type}) has {len(self.update.history)}",
                next_step="resume with the solver type and net that wrote it",
            )
        problems = []
        for index, (mine, theirs) in enumerate(
            zip(self.update.history, state.history, strict=True)
        ):
            if tuple(mine.shape) != tuple(theirs.shape):
                owner = self.net.learnables[index % len(self.net.learnables)]
                problems.append(
                    f'layer "{owner.layer}", blob {owner.index}: history of shape '
                    f"{text(theirs.shape)} in the snapshot, {text(mine.shape)} in the net"
                )
        if problems:
            raise SnapshotError(
                f"{path} is of another net: {'; '.join(problems)}",
                next_step="resume with the net that wrote it",
            )
        if state.learned_net:
            weights.load(self.net, state.learned_net, whole=True)
        self.log("sgd_solver.cpp:326", "SGDSolver: restoring history")
        for mine, theirs in zip(self.update.history, state.history, strict=True):
            mine.copy_(torch.from_numpy(theirs))
        self.iter = state.iteration
        self.rate.current_step = state.current_step

    def close(self) -> None:
        """End the threads that read data."""
        for net in (self.net, *self.test_nets):
            net.close()

    def _smooth(self, loss: torch.Tensor, start: int) -> None:
        window = self.param.average_loss
        if len(self._losses) < window:
            self._losses.append(loss)
            size = len(self._losses)
            self._smoothed = (self._smoothed * (size - 1) + loss) / size
        else:
            index = (self.iter - start) % window
            self._smoothed = self._smoothed + (loss - self._losses[index]) / window
            self._losses[index] = loss

    def _shown_loss(self) -> str:
        return number(float(self._smoothed))

    def _display(self) -> None:
        shown = self._shown_loss()
        now, (then, last) = time.monotonic(), self._last_display
        lapse = now - then
        speed = (self.iter - last) / lapse if lapse else 0.0
        self.log(
            "solver.cpp:239",
            f"Iteration {self.iter} ({number(speed)} iter/s, {number(lapse)}s/"
            f"{self.param.display} iters), loss = {shown}",
        )
        self._last_display = (now, self.iter)
        values = {name: self.net.blobs[name].data.reshape(-1) for name in self.net.outputs}
        for line in report.outputs(self.net, values):
            self.log("solver.cpp:258", f"    Train net output {line}")

    def _check(self, loss: torch.Tensor) -> None:
        if self._told_nan or bool(torch.isfinite(loss)):
            return
        self._told_nan = True
        what = f"the loss is {number(float(loss))} at iteration {self.iter}"
        first = self.net.first_not_finite()
        what += f"; the first that is not finite is {first}" if first else ""
        next_step = "a smaller base_lr, clip_gradients, or a look at the data of this batch"
        if self.stop_on_nan:
            raise NumericError(what, next_step=next_step)
        self.log("solver.cpp:239", f"{what}; next: {next_step}", WARNING)
