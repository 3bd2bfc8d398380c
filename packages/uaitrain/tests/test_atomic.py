"""Files are replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from uaitrain.atomic import write_bytes
from uaitrain.errors import StorageError
from uaitrain.secret import Secret


def test_a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    write_bytes(path, b"new", 0o600)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("place", ["none/f", "file/f"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match=place):
        write_bytes(tmp_path / place, b"x")


def test_a_folder_in_the_way_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "f" / "inner").mkdir(parents=True)

    with pytest.raises(StorageError, match="cannot write"):
        write_bytes(tmp_path / "f", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")

    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("other")
    assert not Secret("")
