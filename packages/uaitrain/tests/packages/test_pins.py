"""The lock of packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from uaitrain.errors import UsageError
from uaitrain.packages import pins
from uaitrain.packages.pins import DebianPins, Lock, Pin, PythonPins, request_of

LOCK = Lock(
    (
        PythonPins(
            "3.9",
            request_of(["nltk"]),
            (Pin("nltk", "3.9.1", ("a" * 64,)),),
            (Pin("docopt", "0.6.2", ("b" * 64, "c" * 64)),),
            ("numpy==1.19.5",),
        ),
    ),
    (DebianPins("sha256:" + "d" * 64, request_of(["tree"]), ("tree:amd64=1.8.0-1+b1",)),),
)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    pins.write(tmp_path / "lock", LOCK)

    assert pins.read(tmp_path / "lock") == LOCK


def test_without_a_file_nothing_is_pinned(tmp_path: Path) -> None:
    assert pins.read(tmp_path / "lock") == Lock()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1", "version = 9"),
        ("nltk==3.9.1", "nltk==3.9.1 --index-url=http://x"),
        ("tree:amd64=1.8.0-1+b1", "tree; reboot"),
        ('python = "3.9"', 'python = "../3.9"'),
        ("[[python]]", "[python"),
    ],
)
def test_a_broken_lock_is_refused(tmp_path: Path, old: str, new: str) -> None:
    text = pins.render(LOCK)
    assert old in text
    (tmp_path / "lock").write_text(text.replace(old, new))

    with pytest.raises(UsageError, match="not a lock of packages"):
        pins.read(tmp_path / "lock")
