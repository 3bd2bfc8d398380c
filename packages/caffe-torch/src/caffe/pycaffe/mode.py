"""What pycaffe keeps for the whole process: device, random numbers, solver rank and count.

The engine itself is told these things by whoever builds a net or solver; here that is the face.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import torch

from caffe import devices, log
from caffe.errors import UsageError
from caffe.random import Random

_LARGEST_SEED = 0xFFFFFFFF


@dataclass
class _State:
    gpu: bool = False
    device_id: int = 0
    ranks: int = 1
    rank: int = 0
    multiprocess: bool = False
    random: Random = field(default_factory=Random)


_state = _State()


def set_mode_cpu() -> None:
    """Nets and solvers that are made from now on compute on the CPU."""
    _state.gpu = False


def set_mode_gpu() -> None:
    """They compute on the chosen GPU. Raises DeviceError where there is none."""
    devices.chosen(str(_state.device_id))
    _state.gpu = True


def set_device(device_id: int) -> None:
    """Choose a GPU. Raises DeviceError where it is not."""
    devices.chosen(str(device_id))
    _state.device_id = device_id


def set_random_seed(seed: int) -> None:
    """Start the stream of random numbers anew, also for nets that exist. Raises OverflowError."""
    if not 0 <= seed <= _LARGEST_SEED:
        raise OverflowError(f"the seed is {seed}; allowed: 0 to {_LARGEST_SEED}")
    _state.random.seed(seed)


def solver_count() -> int:
    """How many solvers train together, each in its own process."""
    return _state.ranks


def set_solver_count(count: int) -> None:
    """Raises UsageError."""
    if count < 1:
        raise UsageError(f"{count} solvers", allowed="1 or more")
    _state.ranks = count


def solver_rank() -> int:
    """Which of them this process is."""
    return _state.rank


def set_solver_rank(rank: int) -> None:
    """Raises UsageError."""
    if rank < 0:
        raise UsageError(f"solver rank {rank}", allowed="0 or more")
    _state.rank = rank


def set_multiprocess(multiprocess: bool) -> None:
    """Whether each solver is a process. Taken and kept: here they always are."""
    _state.multiprocess = bool(multiprocess)


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Log lines from severity ``level`` on (0 info, 1 warning, 2 error, 3 fatal), to standard
    error. Overrides GLOG_minloglevel. Lines never go to files here, so ``stderr=False`` silences
    all but fatal ones."""
    os.environ[log.THRESHOLD] = str(level if stderr else max(level, 3))


def device() -> torch.device:
    """Where nets are made now. Raises DeviceError."""
    return devices.chosen(str(_state.device_id))[0] if _state.gpu else devices.CPU


def random() -> Random:
    """The stream that all nets and solvers of this process draw from."""
    return _state.random
