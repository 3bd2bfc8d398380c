"""Our headers are the library's, byte for byte."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from uaitrain.errors import SourceError
from uaitrain.files.inventory import Entry, Kind
from uaitrain.files.plan import LayerPlan
from uaitrain.files.tarball import stream

NAMES = ("a", "with blank", "x" * 94, "x" * 95, "x" * 96, "d/" + "y" * 94, "ü", "a\udcff")
"""Their lengths with ``data/`` before them lie around the 100 bytes of a header's name."""

TYPES = {Kind.FILE: tarfile.REGTYPE, Kind.FOLDER: tarfile.DIRTYPE, Kind.LINK: tarfile.SYMTYPE}
NOWHERE = Path("/nonexistent")


def header(entry: Entry, mtime: int = 0) -> bytes:
    """The archive of one entry without content, less its end."""
    plan = LayerPlan("code", "data", (), (entry,), mtime)
    return b"".join(stream(NOWHERE, plan)).removesuffix(bytes(1024))


def times(status: os.stat_result) -> dict[str, int]:
    return {
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


def by_the_library(entry: Entry, mode: int, mtime: int = 0) -> bytes:
    info = tarfile.TarInfo(f"data/{entry.path}")
    info.type, info.mode, info.size = TYPES[entry.kind], mode, entry.size
    info.mtime, info.linkname = mtime, entry.target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


@pytest.mark.parametrize("mtime", [0, 1_700_000_000, 8**11 - 1, 8**11])
@pytest.mark.parametrize("name", NAMES)
def test_headers_of_files_folders_and_links(name: str, mtime: int) -> None:
    cases = (
        (Entry(name, Kind.FILE), 0o644),
        (Entry(name, Kind.FILE, executable=True), 0o755),
        (Entry(name, Kind.FOLDER), 0o755),
        (Entry(name, Kind.LINK, target="a"), 0o777),
    )

    for entry, mode in cases:
        assert header(entry, mtime) == by_the_library(entry, mode, mtime)


@pytest.mark.parametrize("target", ["t" * 100, "t" * 101, "ö", "a\udcff"])
def test_a_link_with_a_long_or_foreign_target(target: str) -> None:
    entry = Entry("link", Kind.LINK, target=target)

    assert header(entry) == by_the_library(entry, 0o777)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 70_000])
def test_a_file_with_content(size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "file"
    path.write_bytes(content[:size])
    status = path.stat()
    entry = Entry("file", Kind.FILE, size, **times(status))

    tar = b"".join(stream(tmp_path, LayerPlan("code", "data", (), (entry,))))

    filled = content[:size] + bytes(-size % 512)
    assert tar == by_the_library(entry, 0o644) + filled + bytes(1024)


@pytest.mark.parametrize("size", [8**11 - 1, 8**11])
def test_a_file_too_large_for_the_header_gets_a_record(size: int, tmp_path: Path) -> None:
    """The file is sparse and only its first piece is read."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(size)
    status = path.stat()
    entry = Entry("file", Kind.FILE, size, **times(status))

    pieces = stream(tmp_path, LayerPlan("code", "data", (), (entry,)))

    assert next(pieces) == by_the_library(entry, 0o644)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match="/nonexistent/file"):
        header(Entry("file", Kind.FILE, 5))
