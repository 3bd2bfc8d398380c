"""The one time that images carry: SOURCE_DATE_EPOCH, the commit, or 1970."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from uaitrain.errors import UsageError
from uaitrain.origin import Origin, origin_of, source_date_epoch


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
    assert origin_of(tmp_path).created == "1970-01-01T00:00:00Z"


def test_it_is_when_the_code_was_last_committed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")

    assert origin_of(tmp_path / "code").created == "2001-02-03T04:05:06Z"


def test_source_date_epoch_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")

    assert origin_of(tmp_path).created == "1970-01-02T00:00:00Z"
    assert source_date_epoch() == 86400


def test_the_commit_is_the_last_that_touched_the_code(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text("")
    git(tmp_path, "init", "-q")
    assert origin_of(code) == Origin("1970-01-01T00:00:00Z")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    first = origin_of(code)
    (tmp_path / "elsewhere").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "second")

    assert len(first.commit) == 40
    assert origin_of(code) == first
    (code / "untracked").write_text("")
    assert not origin_of(code).dirty
    (code / "train.py").write_text("changed")
    assert origin_of(code) == Origin(first.created, first.commit, True)


def test_root_gets_the_answer_of_the_person_whose_repository_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    mine = origin_of(tmp_path)
    # git's own switch for its tests of this: it takes the repository for somebody else's.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    refused = subprocess.run(
        ["git", "-C", str(tmp_path), "status"], capture_output=True, check=False
    )

    assert b"dubious ownership" in refused.stderr
    assert mine.commit
    assert origin_of(tmp_path) == mine


def test_a_repositorys_settings_start_no_program(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    for key in ("core.fsmonitor", "gpg.program", "core.pager"):
        git(tmp_path, "config", key, f"touch {tmp_path}/{key}; :")
    git(tmp_path, "config", "log.showSignature", "true")
    origin_of(tmp_path)

    assert not [path for path in tmp_path.iterdir() if path.name not in (".git", "train.py")]


@pytest.mark.parametrize("text", ["-1", "1.5", "tomorrow", "９", "9" * 30])
def test_a_wrong_source_date_epoch_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)

    with pytest.raises(UsageError, match="whole seconds since 1970"):
        source_date_epoch()
