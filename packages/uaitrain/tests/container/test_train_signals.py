"""The stock entry on real Caffe: signals and kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from container.jobs import FAST, SLOW, iteration, pairs, write_job
from support.caffe_rootfs import Box, worker_of

CPU = "--use_cpu=True"
AUTO = "--snapshot=auto"
ENDLESS = "100000000"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_leaves_a_pair_and_goes_on_to_exactly_max_iter(
    box: Box, number: signal.Signals
) -> None:
    process = box.train(write_job(box, SLOW, max_iter=ENDLESS), CPU, AUTO)
    box.wait_for("Iteration 20 (")
    process.send_signal(number)

    assert process.wait(60) == 143
    (stopped,) = pairs(box)
    at = iteration(box, stopped)
    assert at >= 20
    assert stopped == f"tiny_iter_{at}"
    assert not (box.output / "failure").exists()

    assert box.finish(write_job(box, SLOW, max_iter=str(at + 7)), CPU, AUTO) == 0
    assert iteration(box, f"tiny_iter_{at + 7}") == at + 7
    assert f"going on from /data/output/tiny_iter_{at}.solverstate" in box.shown


def test_sighup_snapshots_and_goes_on(box: Box) -> None:
    process = box.train(write_job(box, SLOW, max_iter=ENDLESS), CPU)
    box.wait_for("Iteration 10 (")
    process.send_signal(signal.SIGHUP)
    box.wait_for("train.py: snapshot complete: ")

    assert process.poll() is None
    assert len(pairs(box)) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143


@pytest.mark.parametrize("moment", ["Creating training net", "Iteration 0, Testing net"])
def test_a_stop_before_the_first_iteration_is_an_orderly_end(box: Box, moment: str) -> None:
    solver = write_job(box, SLOW, max_iter=ENDLESS, test_iter="100000", test_interval="1000")
    process = box.train(solver, CPU)
    box.wait_for("train.py: started" if moment.startswith("Creating") else moment)
    if moment.startswith("Creating"):
        box.wait_until(lambda: bool(_children(process)))
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 143
    pairs(box)


def _children(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()


def test_as_the_first_process_of_a_container_it_obeys_and_leaves_nothing_running(
    box: Box,
) -> None:
    first = ("unshare", "--pid", "--fork", "--kill-child")
    solver = write_job(box, SLOW, max_iter=ENDLESS)
    process = box.train(solver, CPU, first=first)
    box.wait_for("Iteration 10 (")
    os.kill(worker_of(process), signal.SIGTERM)

    assert process.wait(60) == 143
    assert len(pairs(box)) == 1


def test_the_worker_dies_with_its_supervisor(box: Box) -> None:
    process = box.train(write_job(box, SLOW, max_iter=ENDLESS), CPU)
    box.wait_for("Iteration 10 (")
    worker = worker_of(process)
    process.kill()
    process.wait()

    box.wait_until(lambda: not Path(f"/proc/{worker}").exists(), running=False)


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_no_kill_at_any_moment_of_writing_makes_a_half_pair(box: Box, form: str) -> None:
    """Snapshots of 1 MB at every fifth iteration; all of it or the worker killed at random."""
    dice = random.Random(form)  # noqa: S311 - the same kills each time
    solver = write_job(box, 500, max_iter=ENDLESS, snapshot="5", snapshot_format=form)
    last = 0
    for turn in range(4):
        process = box.train(solver, CPU, AUTO)
        box.wait_until(lambda: _newest(box) > last)  # noqa: B023 used at once
        seen = box.shown.count("Snapshotting") + dice.randrange(1, 12)
        box.wait_until(lambda: box.shown.count("Snapshotting") >= seen)  # noqa: B023 used at once
        if turn % 2:
            process.kill()
            assert process.wait() == -signal.SIGKILL
        else:
            os.kill(worker_of(process), signal.SIGKILL)
            assert process.wait(60) == 5
            assert "killed" in box.failure
        now = _newest(box)
        assert now > last
        last = now

    final = str(last + 3)
    solver = write_job(box, 500, max_iter=final, snapshot_format=form)
    assert box.finish(solver, CPU, AUTO) == 0
    assert _newest(box) == last + 3
    assert f"going on from /data/output/tiny_iter_{last}." in box.shown
    assert not list(box.output.glob(".*"))
    assert not (box.output / "failure").exists()


def _newest(box: Box) -> int:
    """Every published state has its weights, and is of the iteration it is named by."""
    numbers = [0]
    for state in box.output.glob("*.solverstate*"):
        assert Path(str(state).replace("solverstate", "caffemodel")).exists()
        numbers.append(int(state.name.split("_")[-1].split(".")[0]))
    return max(numbers)


def test_a_stop_at_the_restored_iteration_keeps_the_only_pair(box3: Box) -> None:
    assert box3.finish(write_job(box3, FAST, max_iter="40"), CPU) == 0
    before = (box3.output / "tiny_iter_40.solverstate").read_bytes()
    solver = write_job(box3, FAST, max_iter=ENDLESS, test_iter="100000000", test_interval="20")

    process = box3.train(solver, CPU, AUTO)
    box3.wait_for("Iteration 40, Testing net")
    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 143
    assert pairs(box3) == ["tiny_iter_40"]
    assert (box3.output / "tiny_iter_40.solverstate").read_bytes() == before
