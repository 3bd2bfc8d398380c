"""A run with an id on real Caffe: started again, finished, in two places, its snapshots kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from container.jobs import FAST, SLOW, iteration, pairs, write_job
from container.launched import RUN, finished, launch, log_of
from support.caffe_rootfs import Box

ENDLESS = "100000000"
FOLDERS = "--work_dir=/data --data_dir=/data/data --output_dir=/data/output"
OWN_MAIN = """
import sys
print("arguments: " + " ".join(sys.argv[1:]))
"""


def line(box: Box, solver: str, *more: str) -> tuple[str, ...]:
    """The command as pack writes it."""
    words = " ".join([solver, "--use_cpu=True", *more, FOLDERS])
    return ("/bin/bash", "-c", f"cd /data && /usr/bin/{box.python} /data/train.py {words}")


def state(box: Box) -> dict[str, Any]:
    return json.loads((box.output / ".uaitrain" / f"{RUN}.0.json").read_text())  # type: ignore[no-any-return]


def marker(box: Box) -> Path:
    return box.output / ".uaitrain" / f"{RUN}.0.complete"


def start(box: Box, *command: str, **environment: str) -> subprocess.Popen[bytes]:
    return launch(box, *command, UAITRAIN_RUN_ID=RUN, **environment)


def test_a_run_that_is_stopped_and_killed_goes_on_and_ends_at_exactly_max_iter(box: Box) -> None:
    process = start(box, *line(box, write_job(box, SLOW, max_iter=ENDLESS)))
    box.wait_for("Iteration 20 (")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    (stopped,) = pairs(box)
    at = iteration(box, stopped)
    noted = state(box)
    assert at >= noted.pop("iteration") >= 20
    assert noted == {"attempts": 1, "exit_code": 143, "before": {}}

    process = start(box, *line(box, write_job(box, SLOW, max_iter=ENDLESS)))
    box.wait_for(f"start 2 of this run: going on from /data/output/tiny_iter_{at}.solverstate")
    box.wait_for(f"Iteration {(at // 10 + 1) * 10} (")
    process.kill()
    process.wait()
    assert not marker(box).exists()

    last = write_job(box, SLOW, max_iter=str(at + 7))
    assert start(box, *line(box, last)).wait(120) == 0
    assert pairs(box) == [f"tiny_iter_{at}", f"tiny_iter_{at + 7}"]
    assert json.loads(marker(box).read_text())["exit_code"] == 0
    assert state(box)["attempts"] == 3
    assert log_of(box).name == f"{RUN}.0.log"
    assert log_of(box).read_text().count("train.py: started: ") == 3

    assert start(box, *line(box, last)).wait(60) == 0
    assert f"the run {RUN} is finished already" in box.shown
    assert "train.py" not in box.shown
    assert state(box)["attempts"] == 3


def test_snapshots_of_other_runs_are_not_gone_on_from(box3: Box) -> None:
    assert finished(box3, *line(box3, write_job(box3, FAST, max_iter="40"))) == 0
    solver = write_job(box3, SLOW, max_iter=ENDLESS)
    for begins in (1, 2):
        process = start(box3, *line(box3, solver))
        box3.wait_for("Iteration 0 (")
        process.kill()
        process.wait()

        assert state(box3)["attempts"] == begins
    assert list(state(box3)["before"]) == ["tiny_iter_40.solverstate"]
    assert "has no complete snapshot yet" in box3.shown


@pytest.mark.parametrize("shell", [True, False])
def test_a_snapshot_of_the_users_holds_until_the_run_has_its_own(box3: Box, shell: bool) -> None:
    solver = write_job(box3, FAST, max_iter="40", snapshot_prefix='"/data/output/first"')
    assert finished(box3, *line(box3, solver)) == 0
    own = box3.write("own main.py", OWN_MAIN)
    theirs = "--snapshot=/data/output/first_iter_40.solverstate"
    words = ["/usr/bin/python3", own, solver, theirs, "--last=x y"]
    text = f"cd /data && /usr/bin/python3 '{own}' {solver} {theirs} '--last=x y' && exit 143"
    command = ["/bin/bash", "-c", text] if shell else words
    expected = f"arguments: {solver} {theirs} --last=x y\n"

    start(box3, *command).wait(60)
    assert expected in box3.shown
    marker(box3).unlink(missing_ok=True)
    start(box3, *command).wait(60)
    assert expected in box3.shown

    solver = write_job(box3, FAST, max_iter="60")
    assert finished(box3, *line(box3, solver)) == 0
    marker(box3).unlink(missing_ok=True)
    start(box3, *command).wait(60)
    newer = "--snapshot=/data/output/tiny_iter_60.solverstate"
    assert f"arguments: {newer} {solver} --last=x y\n" in box3.shown


def test_half_a_pair_is_never_gone_on_from(box3: Box) -> None:
    command = line(box3, write_job(box3, FAST, max_iter="60", snapshot="20"))
    assert start(box3, *command).wait(60) == 0
    marker(box3).unlink()
    (box3.output / "tiny_iter_60.caffemodel").unlink()
    with (box3.output / "tiny_iter_40.solverstate").open("r+b") as file:
        file.truncate(60)

    assert start(box3, *command).wait(60) == 0
    assert "going on from /data/output/tiny_iter_20.solverstate" in box3.shown
    assert iteration(box3, "tiny_iter_60") == 60


def test_the_same_run_does_not_run_twice_at_once(box: Box) -> None:
    solver = write_job(box, SLOW, max_iter=ENDLESS)
    first = start(box, *line(box, solver))
    box.wait_for("Iteration 0 (")
    second = launch(box, *line(box, solver), shown="other", UAITRAIN_RUN_ID=RUN)
    other = box.data / "other"
    box.wait_until(lambda: "the same run is still running elsewhere" in other.read_text())
    assert "train.py" not in other.read_text()

    first.kill()
    box.wait_until(lambda: "start 2 of this run" in other.read_text())
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 143


def test_a_launcher_that_waits_can_be_stopped(box3: Box) -> None:
    solver = write_job(box3, SLOW, max_iter=ENDLESS)
    start(box3, *line(box3, solver))
    box3.wait_for("Iteration 0 (")
    second = launch(box3, *line(box3, solver), shown="other", UAITRAIN_RUN_ID=RUN)
    box3.wait_until(lambda: "waiting for its end" in (box3.data / "other").read_text())
    second.send_signal(signal.SIGTERM)

    assert second.wait(60) == 143
    assert "stopped before the command began" in (box3.data / "other").read_text()


ACCURACIES = {20: 0.25, 40: 0.75, 60: 0.5, 80: 0.75, 100: 0.5}


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_old_snapshots_go_and_the_best_and_those_of_others_stay(box: Box, form: str) -> None:
    solver = write_job(box, FAST, max_iter="15", snapshot_format=form)
    assert finished(box, *line(box, solver)) == 0  # another run's, of the same solver
    (box.output / "tiny_iter_3.solverstate").write_bytes(b"cut short")
    (box.output / "tiny_iter_3.caffemodel").write_bytes(b"")
    (box.output / "tiny_iter_5.caffemodel").write_bytes(b"weights alone")
    solver = write_job(box, FAST, snapshot="10", max_iter="100", snapshot_format=form)
    tests = "; ".join(
        f"echo 'I1124 19:00:00.1  7 solver.cpp:1] Iteration {at}, Testing net (#0)'; "
        f"echo 'I1124 19:00:00.1  7 solver.cpp:2]     Test net output #0: accuracy = {rate}'"
        for at, rate in ACCURACIES.items()
    )
    command = line(box, solver)
    text = command[2].replace("cd /data &&", f"{tests}; cd /data &&")

    assert start(box, "/bin/bash", "-c", text, UAITRAIN_KEEP_LAST="2").wait(120) == 0
    states = {path.name.split(".")[0] for path in box.output.glob("*.solverstate*")}
    models = {path.name.split(".")[0] for path in box.output.glob("*.caffemodel*")}
    kept = {"tiny_iter_90", "tiny_iter_100", "tiny_iter_80"}
    assert states == kept | {"tiny_iter_15", "tiny_iter_3"}
    assert models == kept | {"tiny_iter_15", "tiny_iter_3", "tiny_iter_5"}


def test_the_snapshot_that_a_run_goes_on_from_stays(box3: Box) -> None:
    command = line(box3, write_job(box3, FAST, snapshot="10", max_iter="40"))
    assert start(box3, *command, UAITRAIN_KEEP_LAST="1").wait(120) == 0
    assert pairs(box3) == ["tiny_iter_40"]
    marker(box3).unlink()
    command = line(box3, write_job(box3, FAST, snapshot="10", max_iter="80"))

    assert start(box3, *command, UAITRAIN_KEEP_LAST="1").wait(120) == 0
    assert pairs(box3) == ["tiny_iter_40", "tiny_iter_80"]


@pytest.mark.parametrize(
    "variables",
    [
        {"UAITRAIN_RUN_ID": "No Such Id"},
        {"UAITRAIN_RUN_ID": "a" * 53},
        {"UAITRAIN_KEEP_LAST": "-1"},
        {"UAITRAIN_NODES": "none"},
        {"UAITRAIN_NODES": "2", "UAITRAIN_RANK": "2"},
    ],
)
def test_variables_that_cannot_be_are_refused(box: Box, variables: dict[str, str]) -> None:
    assert finished(box, "/bin/echo", "ran", **variables) == 2
    assert "UAITRAIN_" in box.failure
    assert "ran\n" not in box.shown


TOLD = "echo $RANK/$WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "/ at :"),
        ({"UAITRAIN_NODES": "1", "UAITRAIN_MASTER": "n1:5"}, "/ at :"),
        (
            {"UAITRAIN_NODES": "2", "UAITRAIN_RANK": "1", "UAITRAIN_MASTER": "n1:500"},
            "1/2 at n1:500",
        ),
        (
            {"SLURM_NNODES": "3", "SLURM_NODEID": "2", "UAITRAIN_MASTER": "n1"},
            "2/3 at n1:29500",
        ),
        (
            {"UAITRAIN_NODES": "2", "JOB_COMPLETION_INDEX": "1", "UAITRAIN_MASTER": "a.b:1"},
            "1/2 at a.b:1",
        ),
        ({"UAITRAIN_NODES": "2", "RANK": "7", "MASTER_ADDR": "own"}, "7/2 at own:"),
        ({"JOB_COMPLETION_INDEX": "4"}, "/ at :"),
    ],
)
def test_a_command_on_several_nodes_is_told_its_place(
    box: Box, variables: dict[str, str], told: str
) -> None:
    assert finished(box, "/bin/sh", "-c", TOLD, UAITRAIN_RUN_ID=RUN, **variables) == 0
    assert f"{told}\n" in box.shown
    rank = told[0] if variables.get("UAITRAIN_NODES") == "2" and "RANK" not in variables else ""
    rank = rank or variables.get("SLURM_NODEID", "0")
    assert log_of(box).name == f"{RUN}.{rank}.log"


def test_a_state_that_cannot_be_written_ends_the_run_before_it_trains(box: Box) -> None:
    (box.output / ".uaitrain").write_text("a file, where the folder should be")

    assert start(box, "/bin/echo", "ran").wait(60) == 7
    assert "/data/output/.uaitrain" in box.failure
    assert "ran\n" not in box.shown


def test_results_belong_to_whom_the_container_runs_as(box3: Box) -> None:
    os.chown(box3.output, 1234, 1234)
    process = launch(box3, "/bin/true", uid=1234, UAITRAIN_RUN_ID=RUN)

    assert process.wait(60) == 0
    assert marker(box3).stat().st_uid == log_of(box3).stat().st_uid == 1234
