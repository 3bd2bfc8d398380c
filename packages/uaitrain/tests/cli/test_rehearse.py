"""``uaitrain test --rehearse-preemption`` as people type it.

The image's ``/usr/bin/python`` is a small shell program that trains as Caffe does, seen from
outside: log lines, staged snapshot pairs, a restart from the newest one. What is tested is the
verb, in a real container; real Caffe is in tests/runs.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.engines import RunningDocker
from support.tiny_image import layer_of
from uaitrain.oci.image import History, Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks.engine import EngineSink

PYTHON = r"""#!/bin/ash
cd /data/output
log() { echo "I1123 05:55:00.016389     7 solver.cpp:239] $1"; }
save() {
  mkdir -p .staged
  printf '\242\006\000' >.staged/x_iter_$i.caffemodel
  sleep 0.1
  printf "\\010\\$(printf %o $i)\\022\\001x\\040\\000" >.staged/x_iter_$i.solverstate
  mv .staged/x_iter_$i.caffemodel .staged/x_iter_$i.solverstate .
}
i=0
newest=$(ls | sed -n 's/^x_iter_\(.*\)\.solverstate$/\1/p' | sort -n | tail -n 1)
case "$*" in *forgetful*) ;; *) i=${newest:-0} ;; esac
[ $i = 60 ] && exit 0
trap 'save; exit 143' TERM
echo "max_iter: 60"
while [ $i -lt 60 ]; do
  log "Iteration $i (5 iter/s, 2s/1 iters), loss = 1.5"
  sleep 0.02
  i=$((i + 1))
  [ $((i % 10)) = 0 ] && save
done
exit 0
"""


@pytest.fixture(autouse=True)
def _packed(
    docker_engine: RunningDocker, tiny: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A job folder and its loaded image."""
    image = tiny.append([layer_of({"usr/bin/python": PYTHON.encode()})], [History("python")])
    EngineSink(docker_engine.engine).put(image, Reference("", "killed-cpu", "uaitrain"), Silent())
    (tmp_path / "data").mkdir()
    (tmp_path / "uaitrain.toml").write_text('image = "killed"\nsolver = "/data/s.prototxt"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "uaitrain", "test", "--rehearse-preemption", *words]


def _rehearse(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*words), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_what_was_proven_is_told_line_by_line(tmp_path: Path) -> None:
    done = _rehearse()

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line[0] for line in lines] == ["✓"] * 8
    assert lines[0].startswith("✓ start 1: SIGTERM at iteration 21, exit code 143, a whole")
    assert lines[4].endswith("whole weights of iteration 60, max_iter 60")
    assert "your output folder is left alone" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "uaitrain.toml"]


def test_json_is_one_value_with_every_claim_and_start() -> None:
    told = json.loads(_rehearse("--json").stdout)

    assert told["proven"]
    assert len(told["claims"]) == 8
    assert [start["exit_code"] for start in told["starts"]] == [143, 137, 0, 0]


def test_what_is_not_proven_has_an_exit_code_of_its_own() -> None:
    done = _rehearse("--argument=forgetful")

    assert done.returncode == 11
    assert "✗ start 2: the newest whole snapshot is of iteration" in done.stdout
    assert "the training started again at 0" in done.stdout
    assert "claims not proven" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_leaves_no_container_and_no_folder(
    docker_engine: RunningDocker, tmp_path: Path
) -> None:
    with subprocess.Popen(_command("--log"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Iteration 5 " in line:
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()

    assert process.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "uaitrain.toml"]
    deadline = time.monotonic() + 60
    while "uaitrain-" in docker_engine.engine.answer("ps", "--all"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("other", ["--dry-run", "--interactive"])
def test_a_rehearsal_is_neither_dry_nor_interactive(other: str) -> None:
    done = _rehearse(other)

    assert done.returncode == 2
    assert "starts the run by itself" in done.stderr


def test_iterations_belong_to_the_rehearsal() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uaitrain", "test", "--iterations=100"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "--iterations is for --rehearse-preemption" in done.stderr
