"""``uaitrain data`` as users type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from uaitrain.cli.data import part_size
from uaitrain.cli.main import main
from uaitrain.errors import UsageError


def test_split_and_merge_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.mdb"
    data.write_bytes(bytes(5000))

    assert main(["data", "split", str(data), "--part-size", "2K", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"] == 3
    data.unlink()

    assert main(["data", "merge", f"{data}.parts", "--remove-parts"]) == 0
    assert capsys.readouterr().out == f"{data}: whole, every byte verified\n"
    assert data.read_bytes() == bytes(5000)
    assert not Path(f"{data}.parts").exists()


def test_a_missing_file_is_one_message_and_exit_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "split", str(tmp_path / "none")]) == 4
    assert "none does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "size"), [("4G", 4 << 30), ("1024", 1024), ("1.5G", 0), ("5 MiB", 5 << 20), ("9", 0)]
)
def test_part_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    if size:
        assert part_size(text) == size
    else:
        with pytest.raises(UsageError, match="--part-size"):
            part_size(text)
