"""``caffe.NCCL``: makes the solvers of several processes one, over torch.distributed.

With one solver it does nothing. Else every process makes one with the same ``uid``, after
``set_solver_count`` and ``set_solver_rank``; on CPUs gloo is spoken in place of NCCL.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import socket
from typing import Any

import torch.distributed as dist

from caffe.errors import DeviceError, UsageError
from caffe.parallel import Averaging
from caffe.pycaffe import mode
from caffe.pycaffe.solver import Solver

_PATIENCE = datetime.timedelta(hours=6)
"""A test of solver 0 keeps the others waiting."""


def has_nccl() -> bool:
    """Whether several solvers can train together here."""
    return dist.is_available()


class NCCL:
    """``NCCL(solver, uid)``, then ``bcast()``, then ``solver.add_callback(nccl)``.

    Raises UsageError for a uid that is none, DeviceError where the others cannot be joined.
    """

    def __init__(self, solver: Solver, uid: str) -> None:
        self._solver = solver
        self._averaging: Averaging | None = None
        self._together = mode.solver_count() > 1
        if self._together and not dist.is_initialized():
            _join(uid, solver._core.device)

    @staticmethod
    def new_uid() -> str:
        """A name for a new group of solvers on this machine, to be given to each process."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return f"127.0.0.1:{probe.getsockname()[1]}"

    def bcast(self) -> None:
        """Give all solvers the weights of solver 0."""
        if self._together:
            self._averaging = Averaging(self._solver._core)
            self._solver._core.callbacks.remove(self._averaging)

    def on_start(self) -> None:
        """Nothing to do: the weights are equal after every update."""

    def on_gradients_ready(self) -> None:
        """Average the gradients over all solvers. Raises UsageError before ``bcast``."""
        if not self._together:
            return
        if self._averaging is None:
            raise UsageError("an NCCL is used before its bcast()", next_step="call bcast() first")
        self._averaging.on_gradients_ready()

    def __call__(self, layer: int) -> None:
        """For ``net.after_backward(nccl)``: all gradients are averaged at once, later."""


def _join(uid: str, device: Any) -> None:
    host, _, port = uid.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f'"{uid}" names no group of solvers', allowed="what NCCL.new_uid() gave")
    rank, ranks = mode.solver_rank(), mode.solver_count()
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"tcp://{host}:{port}",
            rank=rank,
            world_size=ranks,
            timeout=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"solver {rank} of {ranks} cannot join the others: {error}") from None
    # In order, and not in the destructors at the end of the process, whose order nobody knows.
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group()
