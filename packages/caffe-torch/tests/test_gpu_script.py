"""The bench of GPUs, as far as a machine without one can run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from caffe import devices
from jobs import REPOSITORY

SCRIPT = REPOSITORY / "bench" / "engine" / "gpu.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_on_the_cpu_it_runs_every_part_and_finds_no_difference(tmp_path: Path) -> None:
    done = run("--device", "cpu", "--nets", "lenet", "--results", str(tmp_path / "found.json"))

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["device"] == "CPU"
    parity, constants, lmdb, two = found["rows"]
    assert (parity["loss"], parity["update_median"], parity["outliers"]) == (0, 0, 0)
    assert (constants["data"], lmdb["data"]) == ("constants", "LMDB")
    assert min(row["iterations_per_second"] for row in (constants, lmdb)) > 0
    assert constants["estimated_bytes"] > 4 * 431_080
    assert two["largest_weight_difference"] < 1e-5


def test_without_a_gpu_it_says_so_and_exits_with_2() -> None:
    done = run()

    assert done.returncode == 2
    assert "no GPU" in done.stdout


def test_gpus_compute_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count", lambda: 1)
    torch.backends.cudnn.allow_tf32 = True

    assert devices.chosen("0") == [torch.device("cuda", 0)]
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
