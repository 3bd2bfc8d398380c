"""A file in which no secret was found is not read again until it changes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from preflight_job import Job
from uaitrain.files.inventory import Entry
from uaitrain.files.select import select
from uaitrain.preflight import Finding, Subject, run_checks, secrets

LINE = "api_key='" + "s3cr3t-value'\n"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were read; the search itself is the real one."""
    paths: list[str] = []
    search = secrets._in_file

    def noting(root: Path, entry: Entry) -> list[tuple[int, str]] | None:
        paths.append(entry.path)
        return search(root, entry)

    monkeypatch.setattr(secrets, "_in_file", noting)
    return paths


@pytest.fixture
def job(job: Job) -> Job:
    """Its files are older than a tick of the clock."""
    for name in ("clean.py", "other.py"):
        (job.code / name).write_text("#".ljust(len(LINE), "x"))
    (job.code / "leak.py").write_text(LINE)
    time.sleep(0.06)
    return job


def check(job: Job, memory: Path | None) -> tuple[Finding, ...]:
    return run_checks(Subject(job.spec, select(job.code, job.ignore), job.bases), memory)


def test_only_what_changed_or_holds_a_secret_is_read_again(
    job: Job, tmp_path: Path, read: list[str]
) -> None:
    first = check(job, tmp_path / "memory")
    whole = sorted(read)
    read.clear()
    (job.code / "other.py").write_text("#".ljust(len(LINE), "y"))

    second = check(job, tmp_path / "memory")

    assert {"clean.py", "leak.py", "other.py"} < set(whole)
    assert sorted(read) == ["leak.py", "other.py"]
    assert second == first
    assert "secret-text" in {finding.check for finding in second}


def test_a_secret_in_place_of_as_many_bytes_is_found_whatever_mtime_says(
    job: Job, tmp_path: Path
) -> None:
    check(job, tmp_path / "memory")
    times = (job.code / "clean.py").stat()
    (job.code / "clean.py").write_text(LINE)
    os.utime(job.code / "clean.py", ns=(times.st_atime_ns, times.st_mtime_ns))

    found = check(job, tmp_path / "memory")

    assert any("clean.py" in finding.where for finding in found if finding.check == "secret-text")


def test_a_file_that_may_still_change_unseen_is_read_again(
    job: Job, tmp_path: Path, read: list[str]
) -> None:
    ahead = time.time_ns() + 3_600_000_000_000
    os.utime(job.code / "clean.py", ns=(ahead, ahead))
    check(job, tmp_path / "memory")
    read.clear()
    check(job, tmp_path / "memory")

    assert sorted(read) == ["clean.py", "leak.py"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_table_means_another_search(
    damage: str, job: Job, tmp_path: Path, read: list[str]
) -> None:
    check(job, tmp_path / "memory")
    whole = sorted(read)
    read.clear()
    (table,) = (tmp_path / "memory" / "searched").iterdir()
    data = table.read_bytes()
    changed = {"flip": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:-9], "empty": b""}
    table.write_bytes(changed[damage])

    check(job, tmp_path / "memory")

    assert sorted(read) == whole


def test_other_rules_search_again(
    job: Job, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check(job, tmp_path / "memory")
    whole = sorted(read)
    read.clear()
    monkeypatch.setattr(secrets, "KINDS", secrets.KINDS[:-1])

    check(job, tmp_path / "memory")

    assert sorted(read) == whole


def test_tables_of_folders_long_gone_are_dropped(tmp_path: Path) -> None:
    from uaitrain.preflight.searched import MOST_KEPT, Searched

    for number in range(MOST_KEPT + 3):
        Searched(tmp_path / "searched", Path(f"/code/{number}"), "rules").save(["a\x001,2,3,4,5"])

    assert len(list((tmp_path / "searched").iterdir())) == MOST_KEPT
