"""Small jobs on real data: MNIST in LMDBs, LeNet, a solver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
MNIST = REPOSITORY / "examples" / "mnist"


def lay_out_mnist(folder: Path) -> None:
    """``mnist_train_lmdb`` and ``mnist_test_lmdb`` in ``folder``."""
    subprocess.run(
        [sys.executable, str(MNIST / "make_lmdb.py"), str(folder)], check=True, capture_output=True
    )


def lenet(folder: Path, seen: str, **changes: object) -> Path:
    """LeNet and its solver as files in ``folder``, whose path inside the definitions is ``seen``;
    ``changes`` replace fields of the solver (None: leave out). Gives the solver's path."""
    net = (MNIST / "code" / "lenet_train_test.prototxt").read_text()
    (folder / "net.prototxt").write_text(net.replace("/data/data", seen))
    fields: dict[str, object] = {
        "net": f'"{seen}/net.prototxt"',
        "type": '"SGD"',
        "base_lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "lr_policy": '"inv"',
        "gamma": 0.0001,
        "power": 0.75,
        "test_iter": 2,
        "test_interval": 3,
        "display": 1,
        "max_iter": 6,
        "snapshot": 3,
        "snapshot_prefix": f'"{seen}/lenet"',
        "random_seed": 1701,
        "solver_mode": "CPU",
    }
    fields.update(changes)
    lines = [f"{name}: {value}\n" for name, value in fields.items() if value is not None]
    path = folder / "solver.prototxt"
    path.write_text("".join(lines))
    return path
