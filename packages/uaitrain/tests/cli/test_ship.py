"""``uaitrain submit``, ``runs``, ``show``, ``logs`` and ``cancel`` as people type them, in a real
Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path

import pytest
from support.engines import RunningDocker, RunningPodman
from support.shipped import IMAGE, Job, packed_job, write_settings
from uaitrain.engines import Engine
from uaitrain.oci.image import Image


@pytest.fixture
def job(docker_engine: RunningDocker, tiny: Image, tmp_path: Path) -> Job:
    return packed_job(docker_engine.engine, tiny, tmp_path)


@pytest.fixture
def engine(docker_engine: RunningDocker) -> Engine:
    return docker_engine.engine


def _containers(engine: Engine) -> list[str]:
    return engine.answer("ps", "--all", "--format", "{{.Names}}").split()


def test_a_run_is_sent_listed_shown_and_its_log_kept(job: Job, engine: Engine) -> None:
    run = job.submit()
    told = job.wait_for(run, lambda told: told["state"] == "succeeded")

    assert run.startswith(f"{IMAGE}-")
    assert (told["exit_code"], told["current"]) == (0, True)
    assert (told["iteration"], told["max_iter"]) == (20, 20)
    assert (told["loss"], told["accuracy"]) == (0.5, 0.75)
    heading, row = job.call("runs").stdout.splitlines()
    assert heading.split() == [
        *("RUN", "BACKEND", "IMAGE", "STATE", "ITERATION", "LOSS", "ACCURACY", "AGE"),
    ]
    assert row.split()[:7] == [
        *(run, "local", told["digest"].removeprefix("sha256:")[:12], "succeeded"),
        *("20/20", "0.5", "75.00"),
    ]
    assert engine.answer("inspect", "--format", "{{.Image}}", run).strip() == told["digest"]
    assert job.call("logs", run).stdout.startswith("max_iter: 20\n")
    assert len(job.call("logs", run, "--tail", "2").stdout.splitlines()) == 2
    assert f"image     {IMAGE}-cpu:uaitrain {told['digest']}" in job.call("show", run).stdout


def test_a_run_is_named_by_what_its_id_begins_or_ends_with(job: Job) -> None:
    run = job.submit()

    assert job.show(run.rpartition("-")[2])["run_id"] == run
    assert job.show(IMAGE)["run_id"] == run
    second = job.submit()
    several = job.call("show", IMAGE)
    assert several.returncode == 2
    assert run in several.stderr
    assert second in several.stderr
    assert job.call("show", "nothing").returncode == 2


def test_a_dry_run_prints_the_command_and_touches_nothing(job: Job, engine: Engine) -> None:
    before = _containers(engine)
    shown = job.call("submit", "local", "--dry-run", "--cpus", "2", "--memory", "1g")
    told = json.loads(job.call("submit", "local", "--dry-run", "--json").stdout)

    assert shown.stdout.startswith("docker run --detach --name shipped-")
    assert " --cpus 2 --memory 1073741824 " in shown.stdout
    assert shown.stdout.rstrip().endswith("--log_dir=/data/output/log")
    assert told["argv"][:3] == ["docker", "run", "--detach"]
    assert _containers(engine) == before
    assert job.call("runs", "--all").stderr == "no runs\n"
    assert not (job.folder / "output").exists()


def test_cancel_leaves_no_container_and_resume_goes_on(job: Job, engine: Engine) -> None:
    write_settings(job.folder, "--wait")
    run = job.submit()
    job.wait_for(run, lambda told: told["iteration"] == 10)
    done = job.call("cancel", run)

    assert done.returncode == 0, done.stderr
    assert "nothing of it runs any more" in done.stderr
    assert (job.folder / "output" / "kept").exists()
    assert run not in _containers(engine)
    assert job.show(run)["state"] == "cancelled"
    assert "is over already: cancelled" in job.call("cancel", run).stderr

    again = job.call("submit", "local", "--resume", run, "--follow")

    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "going on"
    assert job.show(run)["state"] == "succeeded"
    assert len(job.call("runs").stdout.splitlines()) == 2
    refused = job.call("submit", "local", "--resume", run)
    assert refused.returncode == 2
    assert "is succeeded" in refused.stderr


def test_follow_ends_as_the_run_ends(job: Job) -> None:
    write_settings(job.folder, "--fail")
    done = job.call("submit", "local", "--follow")

    assert done.returncode == 3
    assert "max_iter: 20" in done.stdout
    assert "failed with exit code 3: no such layer: Foo" in done.stderr
    told = json.loads(job.call("submit", "local", "--follow", "--json").stdout)
    assert (told["state"], told["exit_code"], told["iteration"]) == ("failed", 3, 10)


def test_who_follows_a_run_learns_that_somebody_cancelled_it(job: Job) -> None:
    write_settings(job.folder, "--wait")
    with job.start("submit", "local", "--follow") as process:
        assert process.stdout is not None
        process.stdout.readline()
        job.call("cancel", IMAGE)
        _, told = process.communicate(timeout=60)

    assert process.returncode == 143
    # Whoever looks between the end of the training and that of its container sees it stopped.
    assert re.search("was (cancelled|stopped)", told)
    assert job.show(IMAGE)["state"] == "cancelled"


def test_whoever_stops_following_leaves_the_run_alone(job: Job) -> None:
    write_settings(job.folder, "--wait")
    with job.start("submit", "local", "--follow") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "goes on: uaitrain logs" in told
    (run,) = json.loads(job.call("runs", "--json").stdout)
    assert run["state"] == "running"
    with job.start("logs", run["run_id"], "--follow", "--tail", "1") as process:
        assert process.stdout is not None
        assert "Iteration 10" in process.stdout.readline()
        job.call("cancel", run["run_id"])
        rest, _ = process.communicate(timeout=60)
    assert rest == "snapshot\n"
    assert process.returncode == 0


def test_the_same_in_rootless_podman(podman_engine: RunningPodman, tiny: Image) -> None:
    engine, folder = podman_engine.engine, podman_engine.home / "typed"
    (folder / "bin").mkdir(parents=True)
    (folder / "output").mkdir()
    job = packed_job(engine, tiny, folder, "--wait")
    for path in (folder, folder / "data", folder / "output"):
        os.chown(path, podman_engine.uid, podman_engine.gid)
    # Stands for that user's login: podman is called as that user, with that user's folders.
    program = folder / "bin" / "podman"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(engine.words)} "$@"\n')
    program.chmod(0o755)
    job.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    run = job.submit("--container-engine", "podman")
    told = job.wait_for(run, lambda told: told["iteration"] == 10)

    assert told["handle"] == f"podman/{run}"
    assert run in _containers(engine)
    assert job.call("cancel", run).returncode == 0
    assert run not in _containers(engine)
    assert (folder / "output" / "kept").stat().st_uid == podman_engine.uid
    again = job.call("submit", "local", "--resume", run, "--follow")
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "going on")


def test_a_secret_reaches_the_run_and_nothing_that_is_shown(job: Job, engine: Engine) -> None:
    write_settings(job.folder, "--secret")
    word = "correct-horse"
    assert job.call("submit", "local", "--secret", "TOKEN").returncode == 2
    dry = job.call("submit", "local", "--secret", "TOKEN", "--dry-run", TOKEN=word)
    run = job.submit("--secret", "TOKEN", TOKEN=word)
    job.wait_for(run, lambda told: told["state"] == "succeeded")

    assert f"a token of {len(word)} characters" in job.call("logs", run).stdout
    assert word not in dry.stdout + dry.stderr + job.call("show", run, "--json").stdout
    for file in (job.folder / "state").iterdir():
        assert word.encode() not in file.read_bytes()


def test_what_was_never_packed_says_so(job: Job) -> None:
    done = job.call("submit", "local", "--image", "other")

    assert done.returncode == 2
    assert "docker has no image other-cpu:uaitrain" in done.stderr
    assert "uaitrain pack" in done.stderr
    assert job.call("runs", "--all").stderr == "no runs\n"


def test_a_run_that_cannot_be_started_leaves_no_trace(job: Job, engine: Engine) -> None:
    done = job.call("submit", "local", "--network", "no-such-network")

    assert done.returncode == 7
    assert "no-such-network" in done.stderr
    assert not [name for name in _containers(engine) if name.startswith(IMAGE + "-no")]
    assert job.call("runs", "--all").stderr == "no runs\n"


def test_a_misspelt_backend_is_told_the_nearest(job: Job) -> None:
    done = job.call("submit", "slrum")

    assert done.returncode == 2
    assert "did you mean 'slurm'?" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--partition", "gpu"), "--partition is for runs on slurm, not on local"),
        (("--nodes", "2"), "--nodes 2"),
        (("--pack", "--nodes", "2"), "--nodes 2"),
        (("--nodes", "0"), "--nodes 0"),
        (("--time", "soon"), "not a time: 'soon'"),
        (("--time", "1h"), "neither Docker nor Podman ends a run in time"),
        (("--memory", "much"), "not a size: 'much'"),
        (("--endpoint", "http://127.0.0.1:9"), "is for s3:// places"),
        (("--run-output", "s3://me:word@bucket"), "holds a user name or password"),
        (("--run-data", "some/where"), "run.data = 'some/where'"),
        (("--secret", "a=b"), "not the name of a variable"),
        (("--dry-run", "--follow"), "--dry-run sends and packs nothing"),
        (("--container-engine", "rkt"), "local.engine = 'rkt'"),
        (("--resume", "x", "--image", "y"), "--image and --resume"),
    ],
)
def test_what_cannot_be_is_refused_in_one_message(
    job: Job, words: tuple[str, ...], said: str
) -> None:
    done = job.call("submit", "local", *words)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    assert not (job.folder / "uaitrain.log").exists()
