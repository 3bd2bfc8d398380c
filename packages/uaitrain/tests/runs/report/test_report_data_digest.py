"""The digest of a data folder: the same for the same, another one for anything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from uaitrain.errors import StorageError
from uaitrain.runs.report.data_digest import digest_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "data.mdb").write_bytes(b"1234")
    (folder / "solver.prototxt").write_bytes(b"net")
    return folder


def copied(data: Path, *, times: bool) -> Path:
    copy = data.with_name("copy")
    shutil.copytree(data, copy, copy_function=shutil.copy2 if times else shutil.copyfile)
    if not times:
        for path in copy.rglob("*"):
            os.utime(path, (1, 1))
    return copy


def test_a_copy_with_its_times_has_the_same_digest(data: Path) -> None:
    first, second = (
        digest_of(folder, contents=False) for folder in (data, copied(data, times=True))
    )

    assert first == second
    assert (first.files, first.size) == (2, 7)
    assert "times" in first.kind


def test_contents_are_told_apart_from_times(data: Path) -> None:
    copy = copied(data, times=False)
    listings = [digest_of(folder, contents=False).digest for folder in (data, copy)]
    contents = [digest_of(folder, contents=True).digest for folder in (data, copy)]

    assert listings[0] != listings[1]
    assert contents[0] == contents[1]
    assert not set(listings) & set(contents)


def _grow(data: Path) -> None:
    (data / "solver.prototxt").write_bytes(b"nets")


def _rename(data: Path) -> None:
    (data / "solver.prototxt").rename(data / "solver.txt")


def _add(data: Path) -> None:
    (data / "more").touch()


def _rewrite(data: Path) -> None:
    kept = (data / "solver.prototxt").stat()
    (data / "solver.prototxt").write_bytes(b"let")
    os.utime(data / "solver.prototxt", ns=(kept.st_atime_ns, kept.st_mtime_ns))


@pytest.mark.parametrize("change", [_grow, _rename, _add, _rewrite])
def test_every_change_of_contents_shows(data: Path, change: Callable[[Path], None]) -> None:
    before = digest_of(data, contents=True)
    change(data)

    assert digest_of(data, contents=True).digest != before.digest


def test_reading_a_database_changes_nothing(data: Path) -> None:
    """Every reader of an LMDB writes its lock file."""
    before = digest_of(data, contents=False)
    (data / "train" / "lock.mdb").write_bytes(b"reader 1")

    assert digest_of(data, contents=False) == before


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        digest_of(tmp_path / "nowhere", contents=False)
