"""Real Caffe in real containers, from `submit --pack` over a cancel to the last iteration; and a
`submit` that is killed at the worst moment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from support.bases import BuiltBase
from support.engines import RunningDocker
from support.shipped import ENDLESS, NET, Job, packed_job, solver, write_settings
from uaitrain.oci.image import Image

# Docker as it is, but whoever started a run dies before he learns that it was started.
DEADLY_DOCKER = """#!/bin/bash
"{docker}" "$@"
code=$?
[[ $1 != run ]] || kill -KILL $PPID
exit $code
"""


# Docker that takes its time to start a run.
SLOW_DOCKER = """#!/bin/bash
[[ $1 != run ]] || {{ touch "{folder}/asked"; exec sleep 600; }}
exec "{docker}" "$@"
"""


def _in_place_of_docker(text: str, folder: Path) -> str:
    """The PATH on which ``docker`` is that script."""
    program = folder / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(text.format(docker=shutil.which("docker"), folder=folder))
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


@pytest.fixture
def caffe_job(docker_engine: RunningDocker, caffe_base: BuiltBase, tmp_path: Path) -> Job:
    """A job on real Caffe, not yet packed."""
    (tmp_path / "code").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "code" / "net.prototxt").write_text(NET)
    # Beside the image, so that the same run can be endless first and have an end later.
    (tmp_path / "data" / "solver.prototxt").write_text(solver(ENDLESS))
    (tmp_path / "uaitrain.toml").write_text(
        f'image = "real"\nsolver = "/data/data/solver.prototxt"\n'
        f'[base]\ncpu = "{caffe_base.oci}"\ngpu = "{caffe_base.oci}"\n'
    )
    environment = {**os.environ, **docker_engine.engine.environment}
    return Job(tmp_path, environment | {"UAITRAIN_STATE": str(tmp_path / "state")})


def test_a_real_training_is_cancelled_and_goes_on_to_its_last_iteration(
    caffe_job: Job, docker_engine: RunningDocker
) -> None:
    run = caffe_job.submit("--pack")
    caffe_job.wait_for(run, lambda told: (told["iteration"] or 0) >= 500)
    done = caffe_job.call("cancel", run)
    assert done.returncode == 0, done.stderr
    stopped = caffe_job.show(run)
    engine, output = docker_engine.engine, caffe_job.folder / "output"

    assert run not in engine.answer("ps", "--all", "--format", "{{.Names}}").split()
    assert stopped["state"] == "cancelled"
    assert stopped["iteration"] >= 500
    (state,) = output.glob("*.solverstate")
    kept = int(state.stem.rpartition("_")[2])
    end = (kept // 100 + 7) * 100

    (caffe_job.folder / "data" / "solver.prototxt").write_text(solver(end))
    again = caffe_job.call("submit", "local", "--resume", run, "--follow", "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)

    assert (told["run_id"], told["state"], told["exit_code"]) == (run, "succeeded", 0)
    assert (told["iteration"], told["max_iter"]) == (end, end)
    assert told["accuracy"] == 1.0
    assert (output / f"small_iter_{end}.caffemodel").exists()
    log = (output / "log" / f"{run}.0.log").read_text()
    assert f"--snapshot=/data/output/small_iter_{kept}.solverstate" in log
    # The container is gone, and the log is read from the output folder.
    engine.answer("rm", run)
    assert caffe_job.call("logs", run, "--tail", "3").stdout in log


def test_a_submit_that_dies_after_sending_loses_nothing(
    docker_engine: RunningDocker, tiny: Image, tmp_path: Path
) -> None:
    (tmp_path / "job").mkdir()
    job = packed_job(docker_engine.engine, tiny, tmp_path / "job")
    write_settings(job.folder, "--wait")
    died = job.call("submit", "local", PATH=_in_place_of_docker(DEADLY_DOCKER, tmp_path))

    assert died.returncode == -signal.SIGKILL
    (run,) = json.loads(job.call("runs", "--wait", "0", "--json").stdout)
    assert (run["state"], run["handle"]) == ("submitting", "")
    (run,) = json.loads(job.call("runs", "--json").stdout)
    assert (run["state"], run["handle"]) == ("running", f"docker/{run['run_id']}")
    assert job.call("cancel", run["run_id"]).returncode == 0


def test_a_submit_that_is_interrupted_says_what_became_of_the_run(
    docker_engine: RunningDocker, tiny: Image, tmp_path: Path
) -> None:
    (tmp_path / "job").mkdir()
    job = packed_job(docker_engine.engine, tiny, tmp_path / "job")
    path = job.environment["PATH"]
    job.environment["PATH"] = _in_place_of_docker(SLOW_DOCKER, tmp_path)
    with job.start("submit", "local") as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "asked").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    job.environment["PATH"] = path
    (run,) = json.loads(job.call("runs", "--json").stdout)

    assert process.returncode == 130
    assert f"uaitrain show {run['run_id']} tells whether it was sent" in said
    assert (run["state"], run["reason"]) == ("failed", "it was never sent")
