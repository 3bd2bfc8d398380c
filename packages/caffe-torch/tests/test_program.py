"""How the ``caffe`` program ends, and what signals do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import lenet
from oracle.program import PATIENCE_SECONDS, run_oracle, run_ours

WRONG = {
    "no solver": (["train"], "Need a solver definition to train."),
    "unknown command": (["bogus"], "Unknown action: bogus"),
    "no model": (["test"], "Need a model definition to score."),
    "missing file": (["train", "--solver=/data/none.prototxt"], "none.prototxt"),
    "snapshot and weights": (
        ["train", "--solver=/data/solver.prototxt", "--snapshot=a", "--weights=b"],
        "Give a snapshot to resume training or weights to finetune but not both.",
    ),
    "unknown effect": (
        ["train", "--solver=/data/solver.prototxt", "--sigint_effect=foo"],
        'Invalid signal effect "foo" was specified',
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_caffe_refuses_ends_as_caffe_ends_it(tmp_path: Path, what: str) -> None:
    arguments, message = WRONG[what]
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 1 lr_policy: "fixed" solver_mode: CPU'
    )
    theirs = run_oracle(tmp_path, *arguments)
    ours = run_ours(*(word.replace("/data/s", f"{tmp_path}/s") for word in arguments))

    assert theirs.status == -signal.SIGABRT
    assert ours.status == theirs.status
    assert message in theirs.lines[-1][2]
    assert message in ours.lines[-1][2]
    assert ours.lines[-1][0] == "F"
    assert "Traceback" not in ours.output


@pytest.mark.parametrize("flag", ["--bogus=1", "-iterations=many", "-solver"])
def test_an_unknown_flag_is_status_1(tmp_path: Path, flag: str) -> None:
    assert run_oracle(tmp_path, "train", flag).status == 1
    assert run_ours("train", flag).status == 1


def test_a_gpu_that_is_not_there_is_refused_with_what_is(job: Path) -> None:
    ended = run_ours("train", f"--solver={lenet(job, str(job))}", "--gpu=7")

    assert ended.status == -signal.SIGABRT
    assert "GPU 7 is not here" in ended.lines[-1][2]


@pytest.mark.parametrize(
    ("mode", "status"), [("", 0), ("solver_mode: GPU", 0), ("solver_mode: CPU", 1)]
)
def test_shapes_takes_what_only_a_gpu_can_run_unless_the_solver_wants_the_cpu(
    tmp_path: Path, mode: str, status: int
) -> None:
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: [2, 3, 5, 4] } } }'
        'layer { name: "p" type: "Pooling" bottom: "d" top: "p"'
        " pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }"
    )
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f'net: "{tmp_path}/net.prototxt" base_lr: 1 lr_policy: "fixed" {mode}')

    ended = run_ours("shapes", f"--solver={solver}", "--json")

    assert ended.status == status
    assert ("[2, 3, 3, 2]" in ended.output) == (status == 0)
    assert ("not implemented on a CPU" in ended.output) == (status == 1)


def test_help_and_version_are_status_0() -> None:
    assert "train or finetune" in run_ours().output
    assert "caffe version 1.0.0" in run_ours("--version").output


def test_hangup_snapshots_and_goes_on_and_interrupt_snapshots_and_stops(job: Path) -> None:
    solver = lenet(
        job, str(job), max_iter=100000, snapshot=None, test_iter=None, test_interval=None, display=1
    )
    log = job / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "caffe", "train", f"--solver={solver}"],
            stdout=out,
            stderr=out,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        _wait_for(log, process, "Iteration 2 ")
        process.send_signal(signal.SIGHUP)
        _wait_for(log, process, "Snapshotting solver state")
        after = int(log.read_text().rsplit("Iteration ", 1)[1].split()[0].rstrip(","))
        _wait_for(log, process, f"Iteration {after + 3} ")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
    assert "Optimization stopped early." in log.read_text()
    states = sorted(job.glob("lenet_iter_*.solverstate"))
    assert len(states) == 2
    assert all(state.with_suffix(".caffemodel").exists() for state in states)


def _wait_for(log: Path, process: subprocess.Popen[bytes], text: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_nan_is_told_with_the_layer_that_made_it_and_stops_when_asked(job: Path) -> None:
    solver = lenet(job, str(job), base_lr=1e30, max_iter=4, test_iter=None, test_interval=None)

    goes_on = run_ours("train", f"--solver={solver}")
    stops = run_ours("train", f"--solver={solver}", "--stop_on_nan")

    assert goes_on.status == 0
    warnings = [text for severity, _, text in goes_on.lines if severity == "W"]
    assert len(warnings) == 1
    assert "the first that is not finite is" in warnings[0]
    assert 'layer "' in warnings[0]
    assert stops.status == -signal.SIGABRT
    assert "the first that is not finite is" in stops.lines[-1][2]


def test_what_does_not_fit_into_memory_is_refused_in_a_sentence(job: Path) -> None:
    solver = lenet(job, str(job))
    net = job / "net.prototxt"
    net.write_text(net.read_text().replace("num_output: 500", "num_output: 2000000000"))

    ended = run_ours("train", f"--solver={solver}")

    assert ended.status == -signal.SIGABRT
    assert "out of memory" in ended.lines[-1][2]
    assert "Traceback" not in ended.output
