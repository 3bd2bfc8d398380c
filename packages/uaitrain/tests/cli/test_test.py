"""``uaitrain test`` as people type it.

The image's ``/usr/bin/python`` is a small shell program that logs as Caffe does and minds
signals: what is tested is the verb, in a real container; real Caffe is in tests/runs.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.engines import RunningDocker
from support.tiny_image import layer_of
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.engine import EngineSink

PYTHON = """#!/bin/ash
log() { echo "I1123 05:55:00.016389     7 solver.cpp:239] $1"; }
echo "max_iter: 20"
log "Iteration 0 (0 iter/s, 0s/10 iters), loss = 2.5"
log "Iteration 10 (5 iter/s, 2s/10 iters), loss = 1.5"
case "$*" in
  *fail*) echo "no such layer: Foo" >/data/output/failure; exit 3 ;;
  *stubborn*) trap 'echo deaf' TERM; while :; do sleep 0.1; done ;;
esac
log "Iteration 20, Testing net (#0)"
log "    Test net output #0: accuracy = 0.75"
log "Iteration 20, loss = 0.5"
echo weights >/data/output/x_iter_20.caffemodel
"""


@pytest.fixture(autouse=True)
def _packed(
    docker_engine: RunningDocker, tiny: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A job folder and its loaded image."""
    image = tiny.append([layer_of({"usr/bin/python": PYTHON.encode()})], [History("python")])
    EngineSink(docker_engine.engine).put(image, Reference("", "verb-cpu", "uaitrain"), Silent())
    (tmp_path / "data").mkdir()
    (tmp_path / "uaitrain.toml").write_text('image = "verb"\nsolver = "/data/s.prototxt"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "uaitrain", "test", *words]


def _test(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*words), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_piped_output_is_plain_lines_and_a_summary(tmp_path: Path) -> None:
    done = _test()

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "iteration 0/20 · loss 2.5"
    assert lines[1] == "iteration 10/20 · loss 1.5 · 5 it/s · 2 s left"
    assert "finished: 20 of 20 iterations in" in done.stdout
    assert "accuracy 75.00 % (iteration 20)" in done.stdout
    assert str(tmp_path / "output" / "x_iter_20.caffemodel") in done.stdout
    assert (tmp_path / "output" / "training_curve.png").exists()


def test_json_is_one_value_on_stdout(tmp_path: Path) -> None:
    told = json.loads(_test("--json").stdout)

    assert told["exit_code"] == 0
    assert (told["iteration"], told["loss"], told["accuracy"]) == (20, 0.5, 0.75)
    assert told["weights"] == str(tmp_path / "output" / "x_iter_20.caffemodel")


def test_the_whole_log_is_shown_on_request() -> None:
    assert "Test net output #0: accuracy = 0.75" in _test("--log").stdout


def test_a_failure_is_told_in_the_runs_own_words_with_its_exit_code() -> None:
    done = _test("--argument=fail")

    assert done.returncode == 3
    assert "the training failed with exit code 3: no such layer: Foo" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_ctrl_c_ends_a_run_that_does_not_listen(docker_engine: RunningDocker) -> None:
    with subprocess.Popen(
        _command("--argument=stubborn", "--log"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Iteration 10" in line:
                process.send_signal(signal.SIGINT)
            if "deaf" in line:
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()

    assert process.returncode == 130
    assert "uaitrain-" not in docker_engine.engine.answer("ps", "--all")


def test_a_dry_run_prints_a_command_that_works_when_pasted(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    told = _test("--dry-run").stdout
    assert not list((tmp_path / "output").iterdir())
    subprocess.run(["bash", "-c", told], check=True, capture_output=True)

    assert shlex.split(told)[:2] == ["docker", "run"]
    assert (tmp_path / "output" / "x_iter_20.caffemodel").exists()


def test_a_missing_image_says_what_to_type() -> None:
    done = _test("--image", "other")

    assert done.returncode == 7
    assert "docker has no image other-cpu:uaitrain" in done.stderr
    assert "next: uaitrain pack" in done.stderr
    assert not Path("output").exists()


def test_a_terminal_cannot_be_given_where_there_is_none() -> None:
    done = _test("--interactive")

    assert done.returncode == 2
    assert "--interactive needs a terminal" in done.stderr


def test_a_gpu_run_on_an_engine_without_gpus_is_its_refusal(
    docker_engine: RunningDocker, tiny: Image
) -> None:
    EngineSink(docker_engine.engine).put(tiny, Reference("", "verb", "uaitrain"), Silent())
    done = _test("--gpu")

    assert done.returncode == 7
    assert "the engine could not run the container" in done.stderr


def _on_a_terminal(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["script", "--quiet", "--return", "--command", shlex.join(_command(*words)), "/dev/null"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_on_a_terminal_one_line_changes_and_the_summary_stays() -> None:
    done = _on_a_terminal()

    assert done.returncode == 0, done.stdout
    assert "\033[K" in done.stdout
    assert "finished: 20 of 20 iterations" in done.stdout


def test_an_interactive_run_has_the_terminal() -> None:
    done = _on_a_terminal("--interactive")

    assert done.returncode == 0, done.stdout
    assert "Test net output #0: accuracy = 0.75" in done.stdout
    assert "finished" not in done.stdout
