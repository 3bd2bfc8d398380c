"""``caffe.get_solver`` and the six solver types, as pycaffe shows them."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from caffe import log, process, schema, solver
from caffe.pycaffe import mode
from caffe.pycaffe.net import Net


class _Callbacks:
    """Two functions as the engine's callback."""

    def __init__(self, on_start: Callable[[], Any], on_gradients_ready: Callable[[], Any]) -> None:
        self.on_start = on_start
        self.on_gradients_ready = on_gradients_ready


class Solver:
    """``Solver(file)`` trains the solver definition of a file, with the update of its class.

    Raises TypeError for what is no path, CaffeError for a definition that cannot be.
    """

    kind: ClassVar[str] = ""

    def __init__(self, solver_file: str) -> None:
        if not isinstance(solver_file, str):
            raise TypeError(f"the solver's file is a path, not {type(solver_file).__name__}")
        param = schema.read_solver(solver_file).message
        param.type = self.kind or param.type
        process.keep_memory()
        self._core = solver.Solver(
            param,
            device=mode.device(),
            rank=mode.solver_rank(),
            ranks=mode.solver_count(),
            random=mode.random(),
            log=log.write,
        )
        weakref.finalize(self, self._core.close)

    @property
    def net(self) -> Net:
        return self._net

    @property
    def test_nets(self) -> list[Net]:
        return self._test_nets

    @cached_property
    def _net(self) -> Net:
        return Net.of(self._core.net, self._core)

    @cached_property
    def _test_nets(self) -> list[Net]:
        return [Net.of(each, self._core) for each in self._core.test_nets]

    @property
    def param(self) -> Any:
        """The SolverParameter: ``base_lr``, ``max_iter``, ``display`` and all the others."""
        return self._core.param

    @property
    def iter(self) -> int:
        return self._core.iter

    @property
    def lr(self) -> float:
        """The rate of the next update."""
        return self._core.rate.at(self._core.iter)

    def step(self, iterations: int) -> None:
        """Raises TypeError for what is no whole number, DataError, NumericError, and what callbacks
        raise."""
        self._core.step(operator.index(iterations))

    def solve(self, resume_file: str | None = None) -> None:
        """Train to max_iter, from a solver state if one is given. Raises as :meth:`step`."""
        self._core.solve(resume_file or "")

    def restore(self, state_file: str) -> None:
        """Go on from a solver state. Raises SnapshotError, and then nothing has changed."""
        self._core.restore(state_file)

    def snapshot(self) -> None:
        """Write weights and state now. Raises SnapshotError."""
        self._core.snapshot()

    def apply_update(self) -> None:
        """One update from the gradients that are there, which counts as an iteration."""
        self._core.apply_update()
        self._core.iter += 1

    def share_weights(self, net: Net) -> None:
        """Let ``net`` use the learnable blobs that are trained here. Raises ShapeError, and
        TypeError for what is no net."""
        if not isinstance(net, Net):
            raise TypeError(f"weights are shared with a caffe.Net, not {type(net).__name__}")
        net._core.share_trained_layers_with(self._core.net)

    def add_callback(
        self, on_start: Any, on_gradients_ready: Callable[[], Any] | None = None
    ) -> None:
        """Call both in every iteration: before forward, and when the gradients are complete. An
        NCCL is a callback as it is."""
        if on_gradients_ready is None:
            self._core.callbacks.append(on_start)
        else:
            self._core.callbacks.append(_Callbacks(on_start, on_gradients_ready))


class SGDSolver(Solver):
    kind = "SGD"


class NesterovSolver(SGDSolver):
    kind = "Nesterov"


class AdaGradSolver(SGDSolver):
    kind = "AdaGrad"


class RMSPropSolver(SGDSolver):
    kind = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    kind = "AdaDelta"


class AdamSolver(SGDSolver):
    kind = "Adam"


_TYPES: dict[str, type[Solver]] = {
    each.kind: each
    for each in (
        SGDSolver,
        NesterovSolver,
        AdaGradSolver,
        RMSPropSolver,
        AdaDeltaSolver,
        AdamSolver,
    )
}


def get_solver(solver_file: str) -> Solver:
    """The solver of the type that the definition names. Raises as :class:`Solver`."""
    if not isinstance(solver_file, str):
        raise TypeError(f"the solver's file is a path, not {type(solver_file).__name__}")
    kind = schema.read_solver(solver_file).message.type
    return _TYPES.get(kind, Solver)(solver_file)
