"""A preflight with a memory finds what one without finds, and opens only what has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from preflight_job import Job
from uaitrain.files.select import select
from uaitrain.preflight import Finding, Subject, run_checks
from uaitrain.preflight.opened import opened_below
from uaitrain.preflight.remembered import checked

LATER_NS = 3_600_000_000_000


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory"


def look(job: Job, memory: Path, read_at_ns: int = 0) -> tuple[tuple[Finding, ...], set[str]]:
    """What is found, and which files of the code folder were opened for it; as if they were read
    in an hour, when nothing is too fresh."""
    time.sleep(0.06)  # the search for secrets goes by the clock
    subject = Subject(job.spec, select(job.code, job.ignore), job.bases)
    with opened_below(job.code) as opened:
        found = checked(subject, read_at_ns or time.time_ns() + LATER_NS, memory)
    assert found == run_checks(subject)
    return found, opened


@pytest.fixture
def known(job: Job, memory: Path) -> Job:
    """A job with its own main file and a module, looked at before."""
    (job.code / "train.py").write_text("import model\n")
    (job.code / "model.py").write_text("x = 1\n")
    job.solver("snapshot: 250\n", "")
    found, opened = look(job, memory)
    assert [finding.check for finding in found] == ["snapshot-only-at-end"]
    assert {"train.py", "solver.prototxt", "net.prototxt", "model.py"} <= opened
    return job


def test_nothing_is_opened_where_nothing_changed(known: Job, memory: Path) -> None:
    assert look(known, memory)[1] == set()


def test_a_module_that_changed_is_searched_and_nothing_else_read(known: Job, memory: Path) -> None:
    (known.code / "model.py").write_text('password = "tr0ubadour-and-3"\n')
    found, opened = look(known, memory)

    assert [finding.check for finding in found] == ["snapshot-only-at-end", "secret-text"]
    assert opened == {"model.py"}


def test_a_main_file_that_changed_is_parsed_again(known: Job, memory: Path) -> None:
    (known.code / "train.py").write_text("def (:\n")
    found, opened = look(known, memory)

    assert found[0].check == "main-file-syntax"
    assert "solver.prototxt" in opened


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job.solver("max_iter", "max_itr"),
        lambda job: (job.code / "extra.txt").write_text("x\n"),
        lambda job: (job.code / "more.py").write_text("x = 2\n"),
        lambda job: (job.code / "model.py").unlink(),
        lambda job: (job.code / "model.py").chmod(0o755),
        lambda job: (job.data / "train_lmdb" / "data.mdb").write_bytes(b"x"),
        lambda job: job.change(arguments=("--timing",)),
    ],
)
def test_any_other_change_has_the_job_looked_at(
    known: Job, memory: Path, change: Callable[[Job], object]
) -> None:
    change(known)

    assert "solver.prototxt" in look(known, memory)[1]


def test_a_main_file_of_this_very_moment_is_read_again(known: Job, memory: Path) -> None:
    """It could change unseen: nothing of the job is remembered until its time is past."""
    (known.code / "train.py").write_text("import model  # new\n")
    now = time.time_ns()

    assert "train.py" in look(known, memory, now)[1]
    assert "train.py" in look(known, memory, now)[1]
    look(known, memory)
    assert look(known, memory)[1] == set()


def test_what_others_open_is_not_told(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "in.other"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text("x")
    with opened_below(inside) as opened:
        (inside / "file").read_bytes()
        (outside / "file").read_text()
        (tmp_path / "link").symlink_to(inside)
        (tmp_path / "link" / "file").read_text()
    (inside / "later").write_text("x")

    assert opened == {"file"}
