"""What our engine, really asked, says of a job."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest
from preflight_job import Job
from uaitrain.preflight import Severity, ask_engine, engine


def test_the_engine_tells_shapes_and_memory_by_batch_size(job: Job) -> None:
    findings, answer = ask_engine(job.subject, ())

    assert findings == ()
    assert answer
    assert answer.facts
    assert {"name": "conv", "shape": [8, 4, 26, 26]} in answer.facts["blobs"]
    assert answer.facts["memory"]["total"] > answer.facts["memory"]["parameters"] > 0
    assert [row["batch"] for row in answer.facts["per_batch"]][:2] == [8, 16]
    said = engine.summary(answer.facts)
    assert 'net "tiny"' in said
    assert "at batch 16" in said


@pytest.mark.parametrize("ours", [True, False])
def test_a_net_that_cannot_be_built_is_told_before_the_pack(job: Job, ours: bool) -> None:
    job.net("kernel_size: 3", "kernel_size: 300")
    if ours:
        job.base("gpu", engine="caffe-torch 0.1.0")
    (finding,), answer = ask_engine(job.subject, ())

    assert answer
    assert answer.error
    assert "conv" in finding.what
    assert (finding.check, finding.severity) == (
        ("engine-refuses", Severity.ERROR) if ours else ("engine-doubts", Severity.WARNING)
    )


def test_a_job_with_errors_is_not_shown_to_the_engine(job: Job) -> None:
    job.solver("max_iter: 500", "max_iter: 0")
    found = job.findings()

    assert ask_engine(job.subject, found) == (found, None)


def test_nothing_is_built_that_would_run_the_users_code_or_write_a_file(job: Job) -> None:
    job.net(
        'layer { name: "relu"',
        'layer { name: "own" type: "Python" bottom: "conv" top: "own"'
        ' python_param { module: "m" layer: "L" } }\nlayer { name: "relu"',
    )

    assert ask_engine(job.subject, ()) == ((), None)


def test_an_engine_that_breaks_stops_no_pack(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho ImportError: no torch >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(engine, "find", lambda: [str(broken)])
    job.base("cpu", engine="caffe-torch 0.1.0")
    (finding,), answer = ask_engine(job.subject, ())

    assert answer
    assert (answer.facts, answer.error) == (None, None)
    assert finding.severity is Severity.NOTE
    assert "ImportError: no torch" in finding.what


def test_bvlcs_own_program_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engine.find() is None
    program = tmp_path / "caffe"
    program.write_bytes(Path(shutil.which("true", path="/usr/bin:/bin") or "").read_bytes())
    program.chmod(0o755)
    assert engine.find() is None
    program.write_text("#!/usr/bin/python3\nfrom caffe.__main__ import run\n")

    assert engine.find() == [str(program)]
