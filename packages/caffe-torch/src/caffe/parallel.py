"""Several solvers of one job: a process a device, gradients averaged over torch.distributed.

As in Caffe, the batch of the definition is each solver's own, the rate is not scaled, record i of
a data layer goes to solver i % count, and solver 0 alone logs, tests and snapshots. Gradients are
averaged before clipping, in one reduction of the flat gradient.

The process that was started is solver 0. It starts the others as copies of its own command line,
told apart by the variables that torch.distributed reads (RANK, WORLD_SIZE, MASTER_ADDR,
MASTER_PORT), so that a cluster's launcher may set them in its place.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from caffe import log
from caffe.errors import DeviceError
from caffe.solver import Action, Solver

RANK, WORLD, HOST, PORT = "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"
FOLLOWER = "CAFFE_FOLLOWER"
_PATIENCE = datetime.timedelta(hours=6)
"""A test of solver 0 keeps the others waiting; nothing else takes so long."""

_ACTIONS = tuple(Action)


@dataclass(frozen=True)
class Place:
    """Which of how many solvers a process is."""

    rank: int
    ranks: int


def place() -> Place | None:
    """What the environment says about this process, if it says anything."""
    if RANK not in os.environ or WORLD not in os.environ:
        return None
    return Place(int(os.environ[RANK]), int(os.environ[WORLD]))


def is_follower() -> bool:
    """Whether :func:`followers` started this process."""
    return FOLLOWER in os.environ


class Averaging:
    """A solver's callback that makes all solvers one: same weights, averaged gradients, and the
    same requests obeyed in the same iteration."""

    def __init__(self, solver: Solver) -> None:
        self._solver = solver
        solver.agree = self.agree
        solver.net.flat.settle()
        with _together():
            dist.broadcast(solver.net.flat.data, 0)
        solver.callbacks.append(self)

    def on_start(self) -> None:
        """Nothing to do: the weights are equal after every update."""

    def agree_on_start(self) -> None:
        """Raises DeviceError unless all go on from the iteration of solver 0: machines may have
        found different snapshots."""
        first = torch.tensor([self._solver.iter], device=self._solver.device)
        with _together():
            dist.broadcast(first, 0)
        if int(first) != self._solver.iter:
            raise DeviceError(
                f"solver {self._solver.rank} goes on from iteration {self._solver.iter}, solver 0 "
                f"from {int(first)}",
                next_step="give all of them the same snapshot",
            )

    def on_gradients_ready(self) -> None:
        self._solver.net.flat.settle()
        diff = self._solver.net.flat.diff
        with _together():
            dist.all_reduce(diff)
        diff.div_(self._solver.ranks)

    def agree(self, action: Action) -> Action:
        """What solver 0 was asked to do."""
        asked = torch.tensor([action.value], device=self._solver.device)
        with _together():
            dist.broadcast(asked, 0)
        return _ACTIONS[int(asked)]


def tell_end(solver: Solver) -> None:
    """Log where a solver of several machines ended, with a digest of all its weights: they are
    the same everywhere, and only solver 0 writes them to a file."""
    data = solver.net.flat.data.detach().cpu().numpy().tobytes()
    digest = hashlib.sha256(data).hexdigest()
    log.write(
        "parallel.cpp:386",
        f"Solver {solver.rank} of {solver.ranks} ends at iteration {solver.iter}, "
        f"weights sha256:{digest}",
    )


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """A step that all solvers take. Raises DeviceError when one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        said = str(error).split("\n", 1)[0]
        raise DeviceError(
            f"another solver is gone: {said}", next_step="look for why it ended in its own output"
        ) from None


@contextlib.contextmanager
def joined(where: Place, device: torch.device) -> Iterator[None]:
    """In the group of all solvers: NCCL for GPUs, gloo for CPUs. Raises DeviceError."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            rank=where.rank,
            world_size=where.ranks,
            timeout=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise DeviceError(
            f"solver {where.rank} of {where.ranks} cannot join the others: {error}"
        ) from None
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def followers(count: int, argv: Sequence[str]) -> Iterator[None]:
    """Solvers 1 to ``count`` - 1 as processes with the command line ``argv``.

    They end with this process. When one of them fails, this one is ended too: the others would
    wait for it in a reduction for ever.
    """
    os.environ.update({RANK: "0", WORLD: str(count), HOST: "127.0.0.1", PORT: str(_free_port())})
    started = [
        subprocess.Popen(
            argv,
            env={**os.environ, RANK: str(rank), FOLLOWER: "1"},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        for rank in range(1, count)
    ]
    watching = threading.Event()
    threading.Thread(target=_watch, args=(started, watching), daemon=True).start()
    try:
        yield
    finally:
        watching.set()
        for process in started:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in (RANK, WORLD, HOST, PORT):
            os.environ.pop(name, None)


def end_with_leader() -> None:
    """In a follower: end when solver 0 is gone. Its end closes our standard input."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        time.sleep(20)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _watch(started: Sequence[subprocess.Popen[bytes]], ended: threading.Event) -> None:
    while not ended.wait(0.5):
        for rank, process in enumerate(started, 1):
            code = process.poll()
            if code:
                log.write(
                    "parallel.cpp:153", f"solver {rank} ended with {code}: ending all", log.FATAL
                )
                for other in started:
                    other.kill()
                os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
