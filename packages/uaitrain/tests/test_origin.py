"""The one time that images carry: SOURCE_DATE_EPOCH, the commit, or 1970."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from uaitrain.errors import UsageError
from uaitrain.origin import created_at, source_date_epoch


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com", *words],
        env={
            "PATH": "/usr/bin:/bin",
            "GIT_COMMITTER_DATE": "2001-02-03T04:05:06Z",
            "HOME": str(folder),
        },
        capture_output=True,
        check=True,
    )


def test_without_a_commit_it_is_1970(tmp_path: Path) -> None:
    assert created_at(tmp_path) == "1970-01-01T00:00:00Z"


def test_it_is_when_the_code_was_last_committed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")

    assert created_at(tmp_path / "code") == "2001-02-03T04:05:06Z"


def test_source_date_epoch_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")

    assert created_at(tmp_path) == "1970-01-02T00:00:00Z"
    assert source_date_epoch() == 86400


@pytest.mark.parametrize("text", ["-1", "1.5", "tomorrow", "９", "9" * 30])
def test_a_wrong_source_date_epoch_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)

    with pytest.raises(UsageError, match="whole seconds since 1970"):
        source_date_epoch()
