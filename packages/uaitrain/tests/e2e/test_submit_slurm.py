"""A run on a real Slurm cluster as people type it: submitted, listed, cancelled, gone on with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shipped import IMAGE, Job, shipped_image
from support.slurm_cluster import RunningSlurm, slurm
from support.slurm_site import running_jobs, shell_image
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout

__all__ = ["slurm"]

SETTINGS = """
image = "{image}"
solver = "/data/s.prototxt"
arguments = ["{argument}"]
[slurm]
folder = "{folder}/slurm"
layout = "{folder}/images"
"""


@pytest.fixture
def job(slurm: RunningSlurm, tiny: Image, tmp_path: Path) -> Iterator[Job]:
    folder = slurm.shared / f"{tmp_path.name}-typed"
    (folder / "data").mkdir(parents=True)
    Layout(folder / "images").put(shipped_image(shell_image(tiny)), f"{IMAGE}-cpu:uaitrain")
    environment = {**os.environ, **slurm.environment, "UAITRAIN_STATE": f"{folder}/state"}
    yield Job(folder, environment)
    slurm.wait_until(lambda: not running_jobs(slurm), "all jobs are gone")
    shutil.rmtree(folder, ignore_errors=True)


def _write(job: Job, argument: str) -> None:
    text = SETTINGS.format(image=IMAGE, folder=job.folder, argument=argument)
    (job.folder / "uaitrain.toml").write_text(text)


def test_a_run_is_followed_to_its_end(job: Job) -> None:
    _write(job, "")
    done = job.call("submit", "slurm", "--cpu", "--follow")

    assert done.returncode == 0, done.stderr
    assert "Iteration 20, loss = 0.5" in done.stdout
    (run,) = json.loads(job.call("runs", "--json").stdout)
    assert (run["backend"], run["state"], run["exit_code"]) == ("slurm", "succeeded", 0)
    assert (run["iteration"], run["max_iter"], run["loss"]) == (20, 20, 0.5)
    assert run["handle"].isdigit()
    assert run["image"] == f"{IMAGE}-cpu:uaitrain"


def test_a_run_is_cancelled_and_gone_on_with(job: Job, slurm: RunningSlurm) -> None:
    _write(job, "--wait")
    sent = job.call("submit", "slurm", "--cpu")
    assert sent.returncode == 0, sent.stderr
    run = sent.stdout.strip()
    job.wait_for(run, lambda told: told["iteration"] == 10)
    done = job.call("cancel", run)

    assert done.returncode == 0, done.stderr
    assert not running_jobs(slurm)
    assert job.show(run)["state"] == "cancelled"
    assert (job.folder / "output" / "kept").exists()

    again = job.call("submit", "slurm", "--cpu", "--resume", run)
    assert again.returncode == 2
    again = job.call("submit", "slurm", "--resume", run, "--follow")
    assert again.returncode == 0, again.stderr
    assert "going on" in again.stdout
    assert job.show(run)["state"] == "succeeded"


def test_a_failed_run_ends_with_its_exit_code_and_reason(job: Job) -> None:
    _write(job, "--fail")
    done = job.call("submit", "slurm", "--cpu", "--follow")

    assert done.returncode == 3
    assert "failed with exit code 3: no such layer: Foo" in done.stderr
