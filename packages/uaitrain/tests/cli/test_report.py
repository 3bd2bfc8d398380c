"""``uaitrain report`` as its users call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import a_run
from uaitrain.runs.store import Store

LENET = Path(__file__).parent.parent / "runs" / "lenet.log"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    log = tmp_path / "output" / "log" / "train.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(LENET.read_bytes())
    (tmp_path / "data").mkdir()
    return tmp_path


def report(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uaitrain", "report", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_output_folder_becomes_a_page_and_its_name_is_printed(folder: Path) -> None:
    done = report(folder, "--output", "output", "--data", "data", "--data-contents")

    assert (done.returncode, done.stdout, done.stderr) == (0, "report-output.html\n", "")
    page = (folder / "report-output.html").read_text()
    assert "0.0916235" in page
    assert "names, sizes and contents of 0 files" in page


def test_a_log_alone_is_enough(folder: Path) -> None:
    done = report(folder, "--log", "output/log/train.log", "--write", "a.html", "--json")
    told = json.loads(done.stdout)

    assert told["report"] == str(folder / "a.html")
    assert told["bytes"] == (folder / "a.html").stat().st_size
    assert told["curves"] == ["loss", "accuracy", "rate", "speed"]
    assert told["state"] == "finished"


def test_the_settings_file_names_the_folders_and_the_job(folder: Path) -> None:
    (folder / "uaitrain.toml").write_text(
        'image = "lenet:v1"\nsolver = "/data/data/lenet_solver.prototxt"\n'
    )
    done = report(folder)
    page = (folder / "report-lenet.html").read_text()

    assert done.stdout == "report-lenet.html\n"
    assert "lenet-cpu:v1" in page
    assert str(folder / "data") in page


def test_a_submitted_run_is_found_by_its_end(folder: Path) -> None:
    run_id = "lenet-20261124-191500-3f2a1c"
    (folder / "output/log/train.log").rename(folder / f"output/log/{run_id}.0.log")
    run = a_run(run_id, output=str(folder / "output"), state="succeeded", exit_code=0)
    Store().add(run)
    done = report(folder, "3f2a1c")

    assert (done.returncode, done.stdout) == (0, f"report-{run_id}.html\n"), done.stderr
    assert "succeeded" in (folder / f"report-{run_id}.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "which run?"),
        (("--output", "nowhere"), "no output folder"),
        (("--output", "data"), "no log of a run"),
        (("--log", "nowhere.log"), "no file 'nowhere.log'"),
        (("nobody",), "no run 'nobody'"),
        (("nobody", "--output", "output"), "--output and RUN"),
    ],
)
def test_what_cannot_be_is_told_in_one_message(
    folder: Path, words: tuple[str, ...], said: str
) -> None:
    done = report(folder, *words)

    assert done.returncode in (2, 4)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("*.html"))


def test_a_page_that_cannot_be_written_leaves_nothing(folder: Path) -> None:
    done = report(folder, "--output", "output", "--write", "nowhere/a.html")

    assert done.returncode == 8
    assert "nowhere/a.html" in done.stderr
