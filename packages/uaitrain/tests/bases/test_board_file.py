"""The file that brings TensorBoard's sidecar into images, and whether a job gets it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from support.bases import kept_cache
from support.board import board_archive
from uaitrain.bases import board_file
from uaitrain.errors import BaseError
from uaitrain.files.select import select
from uaitrain.paths import cache_dir
from uaitrain.progress import Silent

__all__ = ["board_archive"]

NEW, OLD, UNKNOWN = "3.9.2", "2.7.6", ""


@pytest.fixture
def kept_wheels(board_archive: Path) -> Path:
    """This test's cache with the wheels, from which nothing was made yet."""
    folder = cache_dir() / "board"
    folder.mkdir(parents=True)
    for wheel in (kept_cache() / "board").glob("*.whl"):
        shutil.copy(wheel, folder)
    return folder


def test_the_same_wheels_give_the_same_bytes(kept_wheels: Path, board_archive: Path) -> None:
    made = board_file.archive()

    assert made is not None
    assert (made / board_file.FILE).read_bytes() == board_archive.read_bytes()
    assert [entry.path for entry in select(made).entries] == [board_file.FILE]


def test_it_holds_python_alone_and_every_licence(board_archive: Path) -> None:
    names = zipfile.ZipFile(board_archive).namelist()

    assert names[0] == "__main__.py"
    assert {Path(name).suffix for name in names} == {".py", "", ".APACHE", ".BSD"}
    licences = [name for name in names if ".dist-info/" in name]
    assert {name.partition("-")[0] for name in licences} == {
        *("packaging", "protobuf", "tensorboardx")
    }


def test_without_the_wheels_there_is_none_and_nothing_is_fetched() -> None:
    assert board_file.archive() is None
    assert not (cache_dir() / "board").exists()


@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_wheel_that_is_not_the_listed_one_is_not_used(kept_wheels: Path, harm: str) -> None:
    wheel = next(kept_wheels.glob("tensorboardx-*.whl"))
    data = wheel.read_bytes()
    if harm == "gone":
        wheel.unlink()
    else:
        wheel.write_bytes(data[:-1] if harm == "cut" else data[:-1] + bytes([data[-1] ^ 1]))

    assert board_file.archive() is None


def test_an_index_with_other_bytes_under_the_name_is_refused(
    board_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wheel in (kept_cache() / "board").glob("*.whl"):
        (tmp_path / wheel.name).write_bytes(wheel.read_bytes() + b"more")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(BaseError, match="not the one that the list names by digest"):
        board_file.fetch(Silent())

    assert board_file.archive() is None


def test_an_index_without_them_is_an_error_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(BaseError, match="pip does not find packaging") as raised:
        board_file.choose("on", [NEW], Silent(), _nothing)

    assert "PIP_FIND_LINKS" in raised.value.next_step


@pytest.mark.parametrize(
    ("choice", "pythons", "wanted"),
    [
        ("auto", [NEW, NEW], True),
        ("auto", [OLD, NEW], True),
        ("auto", [UNKNOWN, OLD], True),
        ("auto", [OLD, OLD], False),
        ("auto", ["3.8.10"], False),
        ("on", [NEW], True),
        ("on", [OLD, OLD], False),
        ("off", [NEW], False),
    ],
)
def test_setting_and_pythons_decide(
    kept_wheels: Path, choice: str, pythons: list[str], wanted: bool
) -> None:
    found = board_file.choose(choice, pythons, Silent(), _nothing)

    assert (found is not None) == wanted


@pytest.mark.parametrize(("choice", "remarks"), [("auto", [board_file.NOT_HERE]), ("off", [])])
def test_what_was_never_fetched_is_left_out_with_a_remark(choice: str, remarks: list[str]) -> None:
    said: list[str] = []

    assert board_file.choose(choice, [NEW], Silent(), said.append) is None
    assert said == remarks


def _nothing(text: str) -> None:
    raise AssertionError(text)
