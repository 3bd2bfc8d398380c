"""How an ended run is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from uaitrain.errors import EngineError, TrainingError
from uaitrain.runs import outcome
from uaitrain.runs.caffe_log import Fatal
from uaitrain.runs.outcome import Outcome
from uaitrain.runs.record import Record


def _ended(code: int, *, stopped: bool = False, tail: tuple[str, ...] = ("bye", "")) -> Outcome:
    return Outcome(code, 1.0, Record(), stopped, tail)


@pytest.mark.parametrize(("code", "stopped"), [(0, False), (0, True), (143, True)])
def test_a_finished_and_a_stopped_run_are_no_errors(code: int, stopped: bool) -> None:
    assert _ended(code, stopped=stopped).error() is None


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "bye"), (126, "cannot be executed"), (127, "no /bin/bash"), (137, "memory ran out")],
)
def test_an_exit_code_is_explained_and_kept(code: int, words: str) -> None:
    error = _ended(code).error()

    assert isinstance(error, TrainingError)
    assert error.exit_code == code
    assert words in error.what


def test_a_stop_that_nobody_here_asked_for_is_told() -> None:
    error = _ended(143).error()

    assert isinstance(error, TrainingError)
    assert error.exit_code == 143


def test_the_engines_own_failure_is_not_the_runs() -> None:
    error = _ended(125, tail=("docker: Error response from daemon: no.",)).error()

    assert isinstance(error, EngineError)
    assert "Error response from daemon: no." in error.what


def test_caffes_reason_comes_before_the_last_line() -> None:
    ended = _ended(4)
    ended.record.note(Fatal("Check failed: shape"))
    error = ended.error()

    assert error is not None
    assert "Check failed: shape" in error.what


def test_only_files_of_this_run_are_its_results(tmp_path: Path) -> None:
    for name, age in (("old", 1000), ("first", 2000), ("last", 3000)):
        path = tmp_path / "deep" / f"{name}.caffemodel"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (age, age))

    assert outcome.newest_weights(tmp_path, 1500) == tmp_path / "deep" / "last.caffemodel"
    assert outcome.newest_weights(tmp_path, 4000) is None


def test_the_log_is_no_file_of_tensorboard(tmp_path: Path) -> None:
    folder = tmp_path / "log" / "run.0.tensorboard"
    folder.mkdir(parents=True)
    for path, age in ((tmp_path / "log" / "run.0.log", 2000), (folder / "position.json", 3000)):
        path.touch()
        os.utime(path, (age, age))

    assert outcome.newest_log(tmp_path, 1500) == tmp_path / "log" / "run.0.log"


def test_a_log_by_another_name_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "training.txt").touch()

    assert outcome.newest_log(tmp_path, 0) == tmp_path / "log" / "training.txt"


def test_an_older_runs_failure_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "failure"
    path.write_text("reason\n")
    os.utime(path, (1000, 1000))

    assert outcome.failure_text(tmp_path, 900) == "reason"
    assert outcome.failure_text(tmp_path, 1100) == ""
    assert outcome.failure_text(tmp_path / "none", 0) == ""
