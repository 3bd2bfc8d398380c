"""What is special about Caffe: its arguments, its stock entry, what its solver says.

Pure: no file is read here. Names and rules are those of BVLC Caffe 1.0.0.
"""

from __future__ import annotations

import posixpath

from uaitrain.spec import CPU, DATA_DIR, LOG_DIR, OUTPUT_DIR, WORK_DIR, TrainSpec
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "caffe"
STOCK_ENTRY = "train.py"
"""The main file that uaitrain brings when the code folder has none of that name."""

AUTO_SNAPSHOT = "auto"
"""``--snapshot=auto``: the stock entry takes the newest complete pair, or starts afresh."""

SOLVER_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")

LR_POLICIES: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}
"""Each policy with the solver fields that its formula uses (beside ``base_lr``, ``max_iter``)."""

HISTORIES = {"AdaDelta": 2, "Adam": 2}
"""How many history blobs a solver type keeps for each learnable one; the others keep one."""

_LAYER_TYPES = """
    Data ImageData HDF5Data HDF5Output WindowData MemoryData DummyData Input Parameter Python
    Convolution Deconvolution Pooling LRN Crop Im2col SPP
    ReLU PReLU ELU Sigmoid TanH AbsVal BNLL Power Exp Log Dropout Threshold Clip Swish
    InnerProduct Embed BatchNorm Scale Bias MVN Softmax ArgMax Eltwise Concat Slice Split Flatten
    Reshape Reduction Tile Filter BatchReindex Silence
    SoftmaxWithLoss SigmoidCrossEntropyLoss EuclideanLoss HingeLoss ContrastiveLoss InfogainLoss
    MultinomialLogisticLoss Accuracy
    RNN LSTM LSTMUnit
"""
LAYER_TYPES = frozenset(_LAYER_TYPES.split())

_ONE_BOTTOM = """
    InnerProduct Embed BatchNorm MVN Softmax ArgMax Slice Split Flatten Reshape Reduction Tile
    Pooling LRN Im2col SPP
    ReLU PReLU ELU Sigmoid TanH AbsVal BNLL Power Exp Log Dropout Threshold Clip Swish
"""
_TWO_BOTTOMS = """
    Accuracy SoftmaxWithLoss SigmoidCrossEntropyLoss EuclideanLoss HingeLoss
    MultinomialLogisticLoss Crop BatchReindex HDF5Output
"""
_NO_BOTTOM = "ImageData HDF5Data WindowData MemoryData DummyData Input Parameter"
BOTTOMS: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(_NO_BOTTOM.split(), (0, 0)),
    **dict.fromkeys(_ONE_BOTTOM.split(), (1, 1)),
    **dict.fromkeys(_TWO_BOTTOMS.split(), (2, 2)),
    **dict.fromkeys(["Convolution", "Deconvolution", "Concat", "Silence"], (1, None)),
    **dict.fromkeys(["Eltwise", "Filter"], (2, None)),
    **dict.fromkeys(["Scale", "Bias"], (1, 2)),
    "InfogainLoss": (2, 3),
    "ContrastiveLoss": (3, 3),
}
"""Fewest and most bottoms of a layer type; types that aren't here take what they get."""

V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "DUMMY_DATA": "DummyData",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
"""Where a V1 enum name is not simply today's name in capitals with ``_``."""


def training_arguments(spec: TrainSpec) -> tuple[str, ...]:
    """What the user typed for the training: the same on every machine and platform."""
    named = (("--solver", spec.solver), ("--snapshot", spec.snapshot))
    return (*(f"{flag}={value}" for flag, value in named if value), *spec.arguments)


def run_arguments(spec: TrainSpec, accelerator: str, gpus: int) -> tuple[str, ...]:
    """A whole run's arguments, in the manual's order; ``gpus`` counts only for a GPU."""
    device = (
        ("--use_cpu=True",) if accelerator == CPU else ("--use_cpu=False", f"--num_gpus={gpus}")
    )
    return (
        *training_arguments(spec),
        *device,
        f"--work_dir={WORK_DIR}",
        f"--data_dir={DATA_DIR}",
        f"--output_dir={OUTPUT_DIR}",
        f"--log_dir={LOG_DIR}",
    )


@dataclass(frozen=True)
class SolverFacts:
    """What others want of a solver. Iteration counts; 0 means never. Paths are the container's.

    ``snapshot_prefix`` is what Caffe will use: without one in the solver, the solver's own path
    less its extension; a folder gets the solver's stem appended.
    """

    type: str
    max_iter: int
    display: int
    test_interval: int
    snapshot: int
    snapshot_prefix: str
    says_prefix: bool
    generic_net: str
    train_net: str
    test_nets: tuple[str, ...]
    inline_nets: int


def solver_facts(message: Any, solver: str) -> SolverFacts:
    """``message`` is a SolverParameter, ``solver`` its path in the container."""
    prefix = message.snapshot_prefix or posixpath.splitext(solver)[0]
    if message.snapshot_prefix.endswith("/"):
        prefix += posixpath.splitext(posixpath.basename(solver))[0]
    inline = (message.HasField("net_param"), message.HasField("train_net_param"))
    return SolverFacts(
        type=solver_type(message),
        max_iter=message.max_iter,
        display=message.display,
        test_interval=message.test_interval,
        snapshot=message.snapshot,
        snapshot_prefix=prefix,
        says_prefix=bool(message.snapshot_prefix),
        generic_net=message.net,
        train_net=message.train_net,
        test_nets=tuple(message.test_net),
        inline_nets=sum(inline),
    )


def solver_type(message: Any) -> str:
    """The ``type``, also where an old solver says it as the enum ``solver_type``."""
    if message.HasField("solver_type"):
        return SOLVER_TYPES[message.solver_type]
    return str(message.type)


def modern_type(v1_name: str) -> str:
    """``INNER_PRODUCT`` ► ``InnerProduct``."""
    return V1_TYPES.get(v1_name) or "".join(part.capitalize() for part in v1_name.split("_"))
