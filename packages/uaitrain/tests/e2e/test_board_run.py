"""From a code folder to TensorBoard: pack, train in the image, look at the curves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.bases import BuiltBase
from support.board import board_archive, read_back, running_tensorboard, scalars_of
from support.engines import RunningDocker

__all__ = ["board_archive"]

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 8 dim: 4 } shape { dim: 8 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "/data/net.prototxt" test_iter: 1 test_interval: 20 base_lr: 0.5 lr_policy: "fixed"
display: 10 max_iter: 60 snapshot_prefix: "/data/output/small" solver_mode: CPU
"""


def test_a_packed_run_shows_its_curves_in_tensorboard(
    board_archive: Path,
    caffe_base: BuiltBase,
    docker_engine: RunningDocker,
    tmp_path: Path,
) -> None:
    for folder in ("code", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "code" / "net.prototxt").write_text(NET)
    (tmp_path / "code" / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "uaitrain.toml").write_text(
        f'image = "curves"\nsolver = "/data/solver.prototxt"\nbase.cpu = "{caffe_base.name}"\n'
        f'base.gpu = "{caffe_base.name}"\nboard = "on"\n'
    )
    environment = {"UAITRAIN_CACHE": str(caffe_base.cache), "DOCKER_HOST": docker_engine.host}
    for verb in ("pack", "test"):
        done = subprocess.run(
            [sys.executable, "-m", "uaitrain", verb],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    logs = tmp_path / "output" / "log"
    (folder,) = logs.glob("*.tensorboard")
    assert folder.with_suffix(".log").is_file()
    found = read_back(folder)
    assert [step for step, _ in found["train/loss"]] == list(range(0, 61, 10))
    assert found["test/accuracy"][-1] == (60, 1.0)
    with running_tensorboard(logs) as address:
        assert scalars_of(address, folder.name, set(found)) == found
