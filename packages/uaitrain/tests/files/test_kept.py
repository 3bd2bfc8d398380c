"""What was made once and is damaged is made again before it goes into an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from uaitrain.files import kept

NAMES = ("program", "list.crt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 1000)
    kept.note(folder, NAMES)
    return folder


def test_what_was_noted_is_whole_also_after_a_copy_of_the_same_bytes(folder: Path) -> None:
    assert kept.is_whole(folder, NAMES)
    data = (folder / NAMES[0]).read_bytes()
    (folder / NAMES[0]).unlink()
    (folder / NAMES[0]).write_bytes(data)

    assert kept.is_whole(folder, NAMES)
    assert kept.is_whole(folder, NAMES)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit": lambda path: path.write_bytes(b"P" + path.read_bytes()[1:]),
    "the end": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "all": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_told(damage: str, name: str, folder: Path) -> None:
    DAMAGES[damage](folder / name)

    assert not kept.is_whole(folder, NAMES)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"program": 3}'])
def test_without_a_note_or_with_a_damaged_one_nothing_is_whole(text: bytes, folder: Path) -> None:
    note = folder.with_name("kept.sums")
    told, _, data = note.read_bytes().partition(b"\n")
    note.write_bytes(told + b"\n" + text)
    assert not kept.is_whole(folder, NAMES)
    note.write_bytes(told + b"\n" + data.replace(b"0", b"1"))
    assert not kept.is_whole(folder, NAMES)
    note.unlink()
    assert not kept.is_whole(folder, NAMES)


def test_a_file_that_was_not_noted_is_not_whole(folder: Path) -> None:
    (folder / "more").write_bytes(b"x")

    assert not kept.is_whole(folder, (*NAMES, "more"))
