"""A layer plan as a reproducible tar stream (POSIX pax interchange format).

Owners are 0:0, modes 0755 or 0644, times the plan's, entries in the plan's order: the bytes
depend on paths, contents, executable bits and link targets, and on nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from uaitrain.files.inventory import Entry, Kind
from uaitrain.files.plan import LayerPlan
from uaitrain.files.select import changed, unreadable

CHUNK_BYTES = 1 << 20
_BLOCK = 512
_TYPES = {Kind.FILE: b"0", Kind.FOLDER: b"5", Kind.LINK: b"2"}
_LONGEST_NAME = 100
_LARGEST_NUMBER = 8**11
_CHECKSUM = 148
"""Where it stands in a header; while it is summed up, eight blanks are there."""
_REST = bytes(_BLOCK - 265)
"""No names of owners, no devices, no prefix: numbers alone count."""


def stream(root: Path, plan: LayerPlan) -> Iterator[bytes]:
    """The tar archive of ``plan``, read from ``root``, in chunks of at most ``CHUNK_BYTES``.

    Raises SourceError when a file is not what it was when the folder was read.
    """
    head = bytearray()
    for folder in plan.folders:
        head += _header(Entry("", Kind.FOLDER), folder, plan.mtime)
    for entry in plan.entries:
        head += _header(entry, f"{plan.prefix}/{entry.path}", plan.mtime)
        if entry.size:
            for chunk in _content(root, entry):
                if len(chunk) < _BLOCK * 128:
                    head += chunk
                else:
                    if head:
                        yield bytes(head)
                        head.clear()
                    yield chunk
            head += bytes(-entry.size % _BLOCK)
        if len(head) >= CHUNK_BYTES:
            yield bytes(head)
            head.clear()
    head += bytes(2 * _BLOCK)
    yield bytes(head)


def _header(entry: Entry, path: str, mtime: int) -> bytes:
    """The 512 bytes before an entry's content, or more where only pax records can hold it."""
    mode = 0o755 if entry.executable or entry.kind is not Kind.FILE else 0o644
    mode = 0o777 if entry.kind is Kind.LINK else mode
    name = f"{path}/" if entry.kind is Kind.FOLDER else path
    if (
        name.isascii()
        and entry.target.isascii()
        and max(len(name), len(entry.target)) <= _LONGEST_NAME
        and max(entry.size, mtime) < _LARGEST_NUMBER
    ):
        return _ustar(name, _TYPES[entry.kind], mode, entry.size, mtime, entry.target)
    import tarfile

    info = tarfile.TarInfo(path)
    info.type, info.mode, info.mtime = _TYPES[entry.kind], mode, mtime
    info.size, info.linkname = entry.size, entry.target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _ustar(name: str, kind: bytes, mode: int, size: int, mtime: int, target: str) -> bytes:
    """One header block (POSIX, pax, "ustar Interchange Format"); ours because the library's
    way takes as long as reading a small file.
    """
    block = b"%b%07o\0%b%011o\0%011o\0        %b%bustar\00000%b" % (
        name.encode().ljust(_LONGEST_NAME, b"\0"),
        mode,
        b"0000000\0" * 2,
        size,
        mtime,
        kind,
        target.encode().ljust(_LONGEST_NAME, b"\0"),
        _REST,
    )
    return b"%b%06o\0%b" % (block[:_CHECKSUM], sum(block), block[_CHECKSUM + 7 :])


def _same(entry: Entry, status: os.stat_result) -> bool:
    """ctime is among them because a program can set mtime back, and not ctime."""
    return (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode) == (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )


def _content(root: Path, entry: Entry) -> Iterator[bytes]:
    path = f"{root}/{entry.path}"
    try:
        # O_NONBLOCK: a pipe put in the file's place must not hang us; O_NOFOLLOW: nor a link.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise changed(path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or not _same(entry, status):
            raise changed(path)
        left = entry.size
        while left:
            chunk = os.read(handle, min(left, CHUNK_BYTES))
            if not chunk:
                raise changed(path)
            left -= len(chunk)
            yield chunk
        if not _same(entry, os.fstat(handle)):
            raise changed(path)
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(handle)
