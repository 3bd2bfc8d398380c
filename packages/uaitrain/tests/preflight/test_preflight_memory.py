"""Findings are remembered only under a name that every change of what the checks see changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from preflight_job import Job
from uaitrain.files.select import select
from uaitrain.preflight import Subject, run_checks
from uaitrain.preflight.memory import MOST_FILES, Memory, key_of
from uaitrain.secret import Secret
from uaitrain.spec import Account

LATER_NS = 3_600_000_000_000


def key(job: Job) -> str | None:
    """As if the folders were read in an hour: nothing in them is too fresh."""
    inventory = select(job.code, job.ignore)
    return key_of(Subject(job.spec, inventory, job.bases), time.time_ns() + LATER_NS)


def rewrite(path: Path) -> None:
    """The same size and content, written anew."""
    path.write_bytes(path.read_bytes())


CHANGES: dict[str, Callable[[Job], object]] = {
    "a code file": lambda job: rewrite(job.code / "solver.prototxt"),
    "another code file": lambda job: (job.code / "new.py").write_text("x = 1\n"),
    "the ignore rules": lambda job: job.ignore.append("net.prototxt"),
    "a database": lambda job: rewrite(job.data / "train_lmdb" / "data.mdb"),
    "a data file more": lambda job: (job.data / "labels.txt").write_text("a\n"),
    "a data file less": lambda job: (job.data / "test_lmdb" / "data.mdb").unlink(),
    "an old result": lambda job: (job.output / "tiny_iter_1.solverstate").write_bytes(b"x"),
    "the output's mode": lambda job: job.output.chmod(0o500),
    "the spec": lambda job: job.change(arguments=("--timing",)),
    "a base": lambda job: job.base("gpu", python="2.7.6"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_gives_another_name(what: str, job: Job) -> None:
    before = key(job)

    CHANGES[what](job)

    assert before
    assert key(job) != before


def test_the_same_job_keeps_its_name_whoever_pushes_it(job: Job) -> None:
    before = key(job)
    job.change(account=Account("me", Secret("hidden")))

    assert before == key(job)


def test_a_file_of_this_very_moment_could_change_unseen(job: Job) -> None:
    rewrite(job.data / "train_lmdb" / "data.mdb")

    assert key_of(Subject(job.spec, select(job.code), job.bases), time.time_ns()) is None


def test_what_stat_does_not_tell_is_not_remembered(job: Job) -> None:
    for folder in (job.code, job.data):
        link = folder / "link"
        link.symlink_to("somewhere")
        assert key(job) is None
        link.unlink()
    os.mkfifo(job.output / "pipe")

    assert key(job) is None


def test_a_large_data_folder_is_not_walked(job: Job) -> None:
    images = job.data / "images"
    images.mkdir()
    for number in range(MOST_FILES + 1):
        (images / f"{number}.jpg").touch()

    assert key(job) is None


def test_a_missing_data_folder_is_looked_for_each_time(job: Job) -> None:
    job.change(data=job.root / "nowhere")

    assert key(job) is None


def test_what_is_recalled_is_what_was_found(job: Job, tmp_path: Path) -> None:
    job.solver("snapshot: 250\n", "")
    found = job.findings()
    memory = Memory(tmp_path / "memory")

    memory.remember("name", found)

    assert found
    assert memory.recall("name") == found
    assert memory.recall("another") is None


def test_errors_are_not_remembered(job: Job, tmp_path: Path) -> None:
    (job.code / "net.prototxt").unlink()
    memory = Memory(tmp_path / "memory")

    memory.remember("name", job.findings())

    assert memory.recall("name") is None


@pytest.mark.parametrize("damage", [b"", b"[", b"[{}]", b"[1]", b'{"a": 1}', b'[{"severity": 3}]'])
def test_a_broken_memory_means_another_look(damage: bytes, job: Job, tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    memory.remember("name", ())
    (tmp_path / "memory" / "name").write_bytes(damage)

    assert memory.recall("name") is None


def test_old_findings_go(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    for number in range(103):
        memory.remember(f"{number}", ())
        os.utime(tmp_path / "memory" / f"{number}", (number, number))
    memory.remember("last", ())

    assert len(list((tmp_path / "memory").iterdir())) == 100
    assert memory.recall("0") is None
    assert memory.recall("last") == ()


def test_every_base_counts(job: Job) -> None:
    subject = Subject(job.spec, select(job.code), job.bases)
    fewer = replace(subject, bases={"cpu": job.bases["cpu"]})

    assert run_checks(subject) == ()
    later = time.time_ns() + LATER_NS
    assert key_of(subject, later) != key_of(fewer, later)
