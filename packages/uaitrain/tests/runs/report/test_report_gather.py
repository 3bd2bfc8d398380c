"""What a report says of a folder and of a run of the store."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import LENET
from support.runs import a_run
from uaitrain.backends import Job as BackendJob
from uaitrain.errors import SourceError
from uaitrain.runs.report import RunReport
from uaitrain.runs.report.gather import Job, from_folder, from_run
from uaitrain.runs.told import file_lines

RUN_ID = "lenet-20261124-191500-3f2a1c"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The output folder of a run whose log is LeNet's."""
    log = tmp_path / "output" / "log" / f"{RUN_ID}.0.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(LENET.read_bytes())
    return tmp_path / "output"


def notes(output: Path, name: str, **told: object) -> Path:
    path = output / ".uaitrain" / f"{RUN_ID}.0.{name}"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(told))
    return path


def fact(report: RunReport, section: str, name: str) -> str:
    facts = next(each.facts for each in report.sections if each.title == section)
    return next((each.value for each in facts if each.name == name), "")


def test_a_folder_tells_its_run(output: Path, tmp_path: Path) -> None:
    notes(output, "complete", exit_code=0)
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_bytes(b"123")
    job = Job(name="lenet", data=data, image="lenet-cpu:v1", image_digest="sha256:aa")
    report = from_folder(output, job)

    assert (report.title, report.state, report.reason) == (RUN_ID, "succeeded", "")
    assert (report.iteration, report.max_iter) == (400, 400)
    assert fact(report, "Run", "exit code") == "0"
    assert fact(report, "Run", "snapshots") == "/data/output/lenet_iter_400.caffemodel"
    assert fact(report, "Image", "digest") == "sha256:aa"
    assert fact(report, "Data", "digest").startswith("sha256:")
    assert fact(report, "Data", "of").startswith("names, sizes and times of change of 1 files, 3 B")
    assert 'lr_policy: "inv"' in fact(report, "Settings", "solver")
    assert fact(report, "Environment", "command").startswith("--solver=/data/data/lenet_solver")
    assert report.tail[-1] == LENET.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "state"), [(0, "succeeded"), (143, "stopped"), (2, "failed"), (134, "failed")]
)
def test_the_state_is_that_of_the_launchers_exit_code(output: Path, code: int, state: str) -> None:
    notes(output, "json", attempts=1, exit_code=code)

    assert from_folder(output, Job()).state == state


def test_a_run_that_went_on_after_its_last_end_has_not_ended(output: Path) -> None:
    log = output / "log" / f"{RUN_ID}.0.log"
    log.write_text("\n".join(LENET.read_text().splitlines()[:40]) + "\n")
    os.utime(notes(output, "json", attempts=2, exit_code=143), (1, 1))

    assert from_folder(output, Job()).state == "not ended"


def test_without_the_launchers_notes_the_log_tells(output: Path) -> None:
    assert from_folder(output, Job()).state == "finished"


def test_a_failure_of_this_run_is_the_reason_and_one_of_an_older_run_is_not(output: Path) -> None:
    (output / "failure").write_text("disk full")
    told = from_folder(output, Job())
    os.utime(output / "failure", (1, 1))
    old = from_folder(output, Job())

    assert (told.state, told.reason) == ("failed", "disk full")
    assert (old.state, old.reason) == ("finished", "")


def test_a_folder_without_a_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no log of a run"):
        from_folder(tmp_path, Job())


def test_a_run_of_the_store_tells_what_was_sent(output: Path) -> None:
    job = BackendJob(
        "host/lenet@sha256:aa",
        ("/usr/bin/python", "/data/train.py", "--note=a b"),
        environment={"UAITRAIN_RUN_ID": RUN_ID},
        secrets=("TOKEN",),
        gpus=2,
        memory_bytes=1 << 33,
    )
    run = a_run(
        RUN_ID,
        job=job,
        output=str(output),
        data="s3://bucket/mnist",
        digest="sha256:aa",
        state="failed",
        exit_code=3,
        reason="OOMKilled",
        options={"slurm.partition": "gpu", "slurm.setup": [], "slurm.qos": ""},
    )
    report = from_run(run, lambda: pytest.fail("the file is here"))

    assert (report.title, report.state, report.reason) == (RUN_ID, "failed", "OOMKilled")
    assert report.loss == pytest.approx(0.0916235)
    assert fact(report, "Run", "exit code") == "3"
    assert fact(report, "Image", "digest") == "sha256:aa"
    assert fact(report, "Data", "digest") == "not read: not a folder here"
    assert fact(report, "Settings", "slurm.partition") == "gpu"
    assert fact(report, "Settings", "slurm.setup") == ""
    assert fact(report, "Environment", "command").endswith("'--note=a b'")
    assert fact(report, "Environment", "variables") == f"UAITRAIN_RUN_ID={RUN_ID}"
    assert fact(report, "Environment", "secrets") == "TOKEN"


def test_a_log_that_is_elsewhere_is_asked_for() -> None:
    run = replace(a_run(RUN_ID), output="s3://bucket/results")
    report = from_run(run, lambda: file_lines(LENET))

    assert report.iteration == 400
    assert fact(report, "Run", "log") == "by the backend"
