"""Which files count as changed, whatever the engine says."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from uaitrain.errors import BaseError
from uaitrain.packages.unlike import unlike


def _tar(path: Path, files: dict[str, bytes], *, mode: int, mtime: int, folder: str = "") -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), mode, mtime
            tar.addfile(member, io.BytesIO(data))
        if folder:
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
    return path


def test_what_was_written_anew_with_the_same_bytes_is_the_same(tmp_path: Path) -> None:
    files = {"a": b"as it was", "./b": b"one", "c": b"12345"}
    old = _tar(tmp_path / "old", files, mode=0o644, mtime=1, folder="etc")
    files |= {"./b": b"two", "c": b"1234", "d": b""}
    # Podman's archives have the kind of a file among the bits of its mode.
    new = _tar(tmp_path / "new", files, mode=0o100644, mtime=2, folder="etc/")

    assert unlike(["a", "b", "c", "d", "etc"], new, old) == ["b", "c", "d"]


def test_another_mode_is_a_change(tmp_path: Path) -> None:
    old = _tar(tmp_path / "old", {"a": b""}, mode=0o644, mtime=1)
    new = _tar(tmp_path / "new", {"a": b""}, mode=0o755, mtime=1)

    assert unlike(["a"], new, old) == ["a"]


def test_a_broken_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"no tar" * 200)
    old = _tar(tmp_path / "old", {}, mode=0o644, mtime=1)

    with pytest.raises(BaseError, match="archive is broken"):
        unlike(["a"], tmp_path / "new", old)
