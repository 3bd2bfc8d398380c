"""Which files of a code folder are selected, and which folders are refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from uaitrain.errors import SourceError
from uaitrain.files.inventory import Kind
from uaitrain.files.select import select


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def selected(root: Path, *ignore: str) -> list[str]:
    return [e.path for e in select(root, ignore).entries if e.kind is not Kind.FOLDER]


def test_entries_are_sorted_by_path(tmp_path: Path) -> None:
    make(tmp_path, "b", "a/z", "a.txt", "a/b")

    assert [e.path for e in select(tmp_path).entries] == ["a", "a.txt", "a/b", "a/z", "b"]


def test_secrets_and_caches_stay_out_and_are_reported(tmp_path: Path) -> None:
    make(tmp_path, ".git/config", ".env", "deploy.key", "m/__pycache__/x.pyc", "train.py")

    inventory = select(tmp_path)

    assert [e.path for e in inventory.entries] == ["m", "train.py"]
    assert inventory.ignored == (".env", ".git", "deploy.key", "m/__pycache__")


def test_the_ignore_file_can_leave_out_and_take_back(tmp_path: Path) -> None:
    make(tmp_path, "a.log", "keep.log", "deep/b.log", "out/c", "deep/out/d", ".env")
    (tmp_path / ".uaitrainignore").write_text("# logs\n*.log\n!keep.log\n/out/\n!.env\n")

    assert selected(tmp_path) == [".env", "deep/out/d", "keep.log"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("a/b", ["ab", "c/a/b", "x.py"]),
        ("**/b", ["ab", "x.py"]),
        ("a/**", ["ab", "c/a/b", "x.py"]),
        ("[ac]/", ["ab", "x.py"]),
        ("?b", ["a/b", "c/a/b", "x.py"]),
        ("[!x].py", ["a/b", "ab", "c/a/b", "x.py"]),
        ("\\x.py", ["a/b", "ab", "c/a/b"]),
        ("[", ["a/b", "ab", "c/a/b", "x.py"]),
    ],
)
def test_patterns_mean_what_they_mean_in_git(tmp_path: Path, pattern: str, left: list[str]) -> None:
    make(tmp_path, "a/b", "c/a/b", "ab", "x.py")

    assert selected(tmp_path, pattern) == left


def test_links_inside_the_folder_are_kept_as_links(tmp_path: Path) -> None:
    make(tmp_path, "lib/a.py")
    (tmp_path / "here.py").symlink_to("lib/a.py")
    (tmp_path / "lib" / "up").symlink_to("../lib")

    entries = {e.path: e.target for e in select(tmp_path).entries if e.kind is Kind.LINK}

    assert entries == {"here.py": "lib/a.py", "lib/up": "../lib"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "lib/../../outside"])
def test_a_link_out_of_the_folder_is_refused_by_name(tmp_path: Path, target: str) -> None:
    make(tmp_path, "code/lib/a", "outside")
    (tmp_path / "code" / "leak").symlink_to(target)

    with pytest.raises(SourceError, match=r"leak.*points out of the code folder"):
        select(tmp_path / "code")


def test_a_link_that_leaves_through_another_link_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "code/a", "outside/secret")
    (tmp_path / "code" / "zz").symlink_to("sub/secret")
    (tmp_path / "code" / "sub").symlink_to(tmp_path / "outside")

    with pytest.raises(SourceError, match="points out of the code folder"):
        select(tmp_path / "code")


def test_a_link_loop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(SourceError, match="leads back to itself"):
        select(tmp_path)


def test_a_link_to_a_parent_folder_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "a/f")
    (tmp_path / "a" / "top").symlink_to("..")

    assert selected(tmp_path) == ["a/f", "a/top"]


def test_sockets_and_pipes_are_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "queue")
    with pytest.raises(SourceError, match=r"queue.*is a named pipe"):
        select(tmp_path)
    (tmp_path / "queue").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sock"))
        with pytest.raises(SourceError, match=r"sock.*is a socket"):
            select(tmp_path)
        assert selected(tmp_path, "sock") == []


def test_a_missing_folder_and_a_file_in_its_place_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path, "file")

    with pytest.raises(SourceError, match="is not there"):
        select(tmp_path / "none")
    with pytest.raises(SourceError, match="is not a folder"):
        select(tmp_path / "file")


def test_names_that_are_not_utf8_are_selected(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))).write_text("x")

    assert selected(tmp_path) == ["caf\udce9"]
