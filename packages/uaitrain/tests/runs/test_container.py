"""Real containers, started, stopped and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import RunningDocker, RunningPodman
from support.tiny_image import layer_of
from uaitrain.backends import Job
from uaitrain.backends.local import render
from uaitrain.engines import Engine
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.runs.container import Container, new_name
from uaitrain.sinks.engine import EngineSink

NAME = Reference("", "contained-cpu", "uaitrain")

TRAINING = """#!/bin/ash
trap 'echo snapshot; exit 143' TERM
echo begun
while :; do sleep 0.1; done
"""
"""A program that is no shell by its name, as Python is not."""


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest, tiny: Image) -> Engine:
    running = request.getfixturevalue(f"{request.param}_engine")
    assert isinstance(running, RunningDocker | RunningPodman)
    EngineSink(running.engine).put(_image(tiny), NAME, Silent())
    return running.engine


def _image(tiny: Image) -> Image:
    return tiny.append([layer_of({"data/train": TRAINING.encode()})], [History("code")])


def _container(engine: Engine, shell_line: str) -> Container:
    name = new_name()
    job = Job(str(NAME), ("/bin/bash", "-c", shell_line), (), shm_bytes=1 << 26)
    return Container(engine, render(job, engine.words, interactive=False, name=name), name)


def _is_gone(engine: Engine, name: str) -> bool:
    return name not in engine.answer("ps", "--all", "--format", "{{.Names}}").split()


def _wait_until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_output_comes_line_by_line_and_the_exit_code_is_the_runs(engine: Engine) -> None:
    with _container(engine, "echo one; echo two >&2; echo three; exit 6") as running:
        lines = list(running.lines())
        code = running.wait()

    assert sorted(lines) == ["one", "three", "two"]
    assert code == 6
    assert _is_gone(engine, running.name)


@pytest.mark.parametrize("line", ["exec /data/train", "/data/train; exit $?"])
def test_a_stop_reaches_the_training_also_behind_a_shell(engine: Engine, line: str) -> None:
    with _container(engine, line) as running:
        lines = []
        for text in running.lines():
            lines.append(text)
            running.stop()
        code = running.wait()

    assert lines == ["begun", "snapshot"]
    assert code == 143
    assert _is_gone(engine, running.name)


def test_leaving_early_leaves_nothing_running(engine: Engine) -> None:
    with _container(engine, "trap '' TERM; echo begun; while :; do sleep 0.1; done") as running:
        next(running.lines())

    assert _is_gone(engine, running.name)


def test_a_watcher_that_is_killed_takes_its_container_along(
    docker_engine: RunningDocker, tiny: Image, tmp_path: Path
) -> None:
    engine = docker_engine.engine
    EngineSink(engine).put(_image(tiny), NAME, Silent())
    watcher = f"""
from uaitrain.backends import Job
from uaitrain.backends.local import render
from uaitrain.engines import Engine
from uaitrain.runs.container import Container
job = Job({str(NAME)!r}, ('/bin/bash', '-c', 'exec /data/train'))
request = render(job, ("docker",), interactive=False, name="orphan")
with Container(Engine("docker", ("docker",)), request, "orphan") as running:
    for line in running.lines():
        print(line, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", watcher],
        stdout=subprocess.PIPE,
        env=os.environ | {"DOCKER_HOST": docker_engine.host},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGKILL)
    _wait_until(lambda: _is_gone(engine, "orphan"))


def test_leaving_before_the_container_is_up_leaves_nothing(engine: Engine) -> None:
    with _container(engine, "sleep 1000") as running:
        pass

    assert _is_gone(engine, running.name)
