"""The git commit of the code folder, asked of real git."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from uaitrain.provenance.contents import File
from uaitrain.provenance.sources import commit_of, lock_files, own_locks


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text("pass\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "x")
    return folder


def test_a_commit_is_clean_until_the_code_changes(code: Path) -> None:
    head = git(code, "rev-parse", "HEAD")
    (code.parent / "beside.txt").write_text("not the code's\n")
    clean = commit_of(code)
    (code / "new.py").write_text("pass\n")
    dirty = commit_of(code)

    assert clean is not None
    assert (clean.sha1, clean.dirty, clean.remote) == (head, False, "")
    assert dirty is not None
    assert (dirty.sha1, dirty.dirty) == (head, True)


def test_outside_of_git_and_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path) is None


@pytest.mark.parametrize(
    ("remote", "told"),
    [
        ("https://me:t0ken@example.com/team/x.git?key=v", "https://example.com/team/x.git"),
        ("git@example.com:team/x.git", "ssh://example.com/team/x.git"),
        ("ssh://git@example.com:22/x.git", "ssh://example.com:22/x.git"),
        ("/home/me/x.git", ""),
        ("file:///home/me/x.git", ""),
        ("../x", ""),
    ],
)
def test_of_the_remote_only_a_servers_address_is_told(code: Path, remote: str, told: str) -> None:
    git(code, "remote", "add", "origin", remote)

    found = commit_of(code)

    assert found is not None
    assert found.remote == told


def test_a_program_that_the_folders_settings_name_is_not_run(code: Path, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    program = tmp_path / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    git(code, "config", "core.fsmonitor", str(program))
    git(code, "status")
    assert mark.exists(), "git runs it, unless told not to"
    mark.unlink()

    assert commit_of(code) is not None
    assert not mark.exists()


def test_lock_files_are_known_by_name() -> None:
    files = [File(p, "", 0) for p in ("data/uv.lock", "data/a/requirements.txt", "data/x.lock")]

    assert [f.path for f in lock_files(files)] == ["data/a/requirements.txt", "data/uv.lock"]


def test_our_own_lock_files_beside_the_settings_are_told_by_name_and_digest(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "uaitrain.packages.lock"
    lock.write_text("x\n")
    beside = (tmp_path / "uaitrain.toml", lock, tmp_path / "uaitrain.lock", tmp_path / "ca.pem")
    beside[0].write_text("")

    stated = tmp_path / "stated.txt"
    stated.write_text("nltk\n")
    told = File(lock.name, hashlib.sha256(b"x\n").hexdigest(), 2)
    assert own_locks(beside) == [told]
    assert [file.path for file in own_locks(beside, stated)] == ["stated.txt", lock.name]
