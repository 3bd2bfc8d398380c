"""Several solvers: N of batch B learn what one of batch N·B learns; here over gloo on the CPU."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from caffe import weights
from jobs import lenet
from oracle.program import PATIENCE_SECONDS, run_ours

QUIET = {"test_iter": None, "test_interval": None, "snapshot": None}


def batch(solver: Path, size: int) -> None:
    net = solver.parent / "net.prototxt"
    net.write_text(net.read_text().replace("batch_size: 64", f"batch_size: {size}"))


@pytest.mark.parametrize("count", [2, 3])
def test_solvers_of_a_batch_equal_one_of_the_whole(job: Path, count: int) -> None:
    solver = lenet(job, str(job), max_iter=8, **QUIET)
    batch(solver, 8 * count)
    alone = run_ours("train", f"--solver={solver}")
    assert alone.status == 0, alone.output
    expected = weights.arrays(job / "lenet_iter_8.caffemodel")

    solver = lenet(job, str(job), max_iter=8, **QUIET)
    batch(solver, 8)
    together = run_ours("train", f"--solver={solver}", f"--solvers={count}")

    assert together.status == 0, together.output
    assert together.output.count("Optimization Done.") == 2, "only solver 0 logs"
    found = weights.arrays(job / "lenet_iter_8.caffemodel")
    for layer, blobs in expected.items():
        for index, want in blobs.items():
            np.testing.assert_allclose(
                found[layer][index], want, rtol=0, atol=2e-6 * np.abs(want).max() + 1e-8,
                err_msg=f"{layer} {index}",
            )  # fmt: skip


def test_a_launchers_variables_are_taken_and_all_resume_a_snapshot(job: Path) -> None:
    solver = lenet(job, str(job), max_iter=4, **QUIET)
    assert run_ours("train", f"--solver={solver}", "--solvers=2").status == 0
    solver = lenet(job, str(job), max_iter=6, **QUIET)
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29541"}
    argv = [sys.executable, "-m", "caffe", "train", f"--solver={solver}",
            f"--snapshot={job / 'lenet_iter_4.solverstate'}"]  # fmt: skip

    started = [
        subprocess.Popen(
            argv, env={**os.environ, **common, "RANK": str(rank)}, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE_SECONDS)[1].decode() for process in started]

    assert [process.returncode for process in started] == [0, 0], said
    assert "Iteration 4 " in said[0]
    assert (job / "lenet_iter_6.caffemodel").exists()
    ends = [re.findall(r"Solver (\d) of 2 ends at (iteration 6, weights \S+)", s) for s in said]
    assert ends[0][0][1] == ends[1][0][1]
    assert [each[0][0] for each in ends] == ["0", "1"]


def test_solvers_that_go_on_from_different_iterations_are_refused(job: Path) -> None:
    solver = lenet(job, str(job), max_iter=2, **QUIET)
    assert run_ours("train", f"--solver={solver}").status == 0
    solver = lenet(job, str(job), max_iter=6, **QUIET)
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29542"}
    snapshot = f"--snapshot={job / 'lenet_iter_2.solverstate'}"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "caffe", "train", f"--solver={solver}", *more],
            env={**os.environ, **common, "RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank, more in enumerate([(snapshot,), ()])
    ]
    said = [process.communicate(timeout=PATIENCE_SECONDS)[1].decode() for process in started]

    assert all(process.returncode for process in started)
    assert "solver 1 goes on from iteration 0, solver 0 from 2" in said[1]


@contextmanager
def two_solvers(job: Path, until: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A training that goes on for ever, seen up to the line that has ``until``; what it prints
    after that is the second value."""
    solver = lenet(job, str(job), max_iter=100000, **QUIET)
    argv = [sys.executable, "-m", "caffe", "train", f"--solver={solver}", "--solvers=2"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if until in line:
                    break
            else:
                raise AssertionError("it ended early")
            yield process, process.stderr
        finally:
            process.kill()


def child_of(process: subprocess.Popen[str]) -> int:
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def test_an_interrupt_stops_all_after_one_snapshot(job: Path) -> None:
    with two_solvers(job, "Iteration 3 ") as (process, said):
        process.send_signal(signal.SIGINT)
        rest = said.read()

        assert process.wait(PATIENCE_SECONDS) == 0, rest
    assert "Optimization stopped early." in rest
    assert len(list(job.glob("*.solverstate"))) == 1


def test_a_solver_that_dies_ends_all(job: Path) -> None:
    with two_solvers(job, "Iteration 2 ") as (process, said):
        os.kill(child_of(process), signal.SIGKILL)
        rest = said.read()

        assert process.wait(PATIENCE_SECONDS) != 0, rest
    assert "solver 1 ended with -9" in rest or "another solver is gone" in rest, rest
    assert "Traceback" not in rest


def test_followers_end_with_their_leader(job: Path) -> None:
    with two_solvers(job, "Iteration 2 ") as (process, _):
        child = child_of(process)
        process.kill()
        process.wait()

    deadline = time.monotonic() + PATIENCE_SECONDS
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
