"""Rendered commands, run by real engines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.engines import RunningDocker, RunningPodman
from support.tiny_image import with_code
from uaitrain.backends import Job, Mount
from uaitrain.backends.local import render
from uaitrain.engines import Engine
from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.engine import EngineSink

NAME = Reference("", "rendered-cpu", "uaitrain")
AWKWARD = ("plain", "a blank", "a:colon", "a,comma", 'a:b,"c" $d', "训练:é")


def _load(engine: Engine, tiny: Image) -> None:
    EngineSink(engine).put(with_code(tiny, "rendered"), NAME, Silent())


def _run(engine: Engine, job: Job) -> str:
    done = subprocess.run(
        render(job, engine.words, interactive=False).argv,
        env=engine.child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", AWKWARD)
def test_docker_mounts_a_folder_of_any_name(
    docker_engine: RunningDocker, tiny: Image, tmp_path: Path, name: str
) -> None:
    _load(docker_engine.engine, tiny)
    folder = tmp_path / name
    folder.mkdir()
    job = Job(
        str(NAME),
        ("/bin/bash", "-c", "echo here >/data/output/result"),
        (Mount(str(folder), "/data/output"),),
    )
    _run(docker_engine.engine, job)

    assert (folder / "result").read_text() == "here\n"


@pytest.mark.parametrize("name", AWKWARD)
def test_podman_mounts_a_folder_of_any_name_and_its_results_are_the_users(
    podman_engine: RunningPodman, tiny: Image, name: str
) -> None:
    _load(podman_engine.engine, tiny)
    folder = podman_engine.home / "mounts" / name
    folder.mkdir(parents=True)
    os.chown(folder, podman_engine.uid, podman_engine.gid)
    job = Job(
        str(NAME),
        ("/bin/bash", "-c", "echo here >/data/output/result"),
        (Mount(str(folder), "/data/output"),),
    )
    _run(podman_engine.engine, job)

    assert (folder / "result").stat().st_uid == podman_engine.uid


def test_shared_memory_environment_and_user_arrive(
    docker_engine: RunningDocker, tiny: Image
) -> None:
    _load(docker_engine.engine, tiny)
    line = "busybox df -k /dev/shm; echo $WORD; id -u"
    job = Job(
        str(NAME),
        ("/bin/bash", "-c", line),
        (),
        {"WORD": "a  b"},
        shm_bytes=3 << 30,
        user="1234:5678",
    )
    *_, shm, _, user = _run(docker_engine.engine, job).splitlines()

    assert shm.split()[1] == str(3 << 20)
    assert user == "1234"
