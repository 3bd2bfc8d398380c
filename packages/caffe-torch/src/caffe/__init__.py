"""Caffe 1.0 jobs on PyTorch. ``import caffe`` gives what pycaffe's users know.

Nothing is loaded until it is asked for: the ``caffe`` program never needs the face in
:mod:`caffe.pycaffe`, and a script that only writes a net never needs the engine. Importing sets
what has to be set before torch loads.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from caffe import process
from caffe.version import CAFFE_VERSION

process.prepare()

__version__ = CAFFE_VERSION
TRAIN = 0
TEST = 1

_SOLVERS = (
    "SGDSolver",
    "NesterovSolver",
    "AdaGradSolver",
    "RMSPropSolver",
    "AdaDeltaSolver",
    "AdamSolver",
    "get_solver",
)
_MODES = (
    "init_log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
)
_PLACES = {
    **dict.fromkeys(_SOLVERS, "solver"),
    **dict.fromkeys(_MODES, "mode"),
    **dict.fromkeys(("NetSpec", "params", "to_proto"), "net_spec"),
    **dict.fromkeys(("NCCL", "has_nccl"), "nccl"),
    "Net": "net",
    "Layer": "layer",
    "Timer": "timer",
    "layer_type_list": "timer",
}
"""Where in :mod:`caffe.pycaffe` a name is."""

_MODULES = {
    "io": "caffe.io",
    "layers": "caffe.layers",
    "log": "caffe.log",
    "proto": "caffe.proto",
    "net_spec": "caffe.net_spec",
    "pycaffe": "caffe.pycaffe",
}

__all__ = ["TEST", "TRAIN", "__version__", *_PLACES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _PLACES:
        raise AttributeError(f"module 'caffe' has no attribute '{name}'")
    found = getattr(import_module(f"caffe.pycaffe.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
