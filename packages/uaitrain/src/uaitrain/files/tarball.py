"""A layer plan as a reproducible tar stream (POSIX pax interchange format).

Owners are 0:0, modes 0755 or 0644, times the plan's, entries in the plan's order: the bytes
depend on paths, contents, executable bits and link targets, and on nothing else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from uaitrain.files.inventory import Entry, Kind
from uaitrain.files.plan import LayerPlan
from uaitrain.files.select import changed, unreadable

CHUNK_BYTES = 1 << 20
_JOINED_BYTES = 256 << 10
"""What is handed on at once of small files: it fits the caches of what hashes and compresses it."""
_BLOCK = 512
_TYPES = {Kind.FILE: b"0", Kind.FOLDER: b"5", Kind.LINK: b"2"}
_LONGEST_NAME = 100
_LARGEST_NUMBER = 8**11
_REST = bytes(_BLOCK - 265)
"""No names of owners, no devices, no prefix: numbers alone count."""


def stream(root: Path, plan: LayerPlan) -> Iterator[bytes]:
    """The tar archive of ``plan``, read from ``root``, in chunks of at most ``CHUNK_BYTES``.

    Raises SourceError when a file is not what it was when the folder was read.
    """
    parts: list[bytes] = []
    held = 0
    for folder in plan.folders:
        parts.append(_header(Entry("", Kind.FOLDER), folder, plan.mtime))
    for entry in plan.entries:
        parts.append(_header(entry, f"{plan.prefix}/{entry.path}", plan.mtime))
        size = entry.size
        if entry.path in plan.given:
            parts.append(plan.given[entry.path])
        elif size > _JOINED_BYTES:
            yield b"".join(parts)
            parts.clear()
            held = 0
            yield from _content(root, entry)
        elif size:
            parts.append(_small(f"{root}/{entry.path}", entry))
        parts.append(bytes(-size % _BLOCK))
        held += size + _BLOCK
        if held >= _JOINED_BYTES:
            yield b"".join(parts)
            parts.clear()
            held = 0
    parts.append(bytes(2 * _BLOCK))
    yield b"".join(parts)


def _header(entry: Entry, path: str, mtime: int) -> bytes:
    """The 512 bytes before an entry's content, or more where only pax records can hold it."""
    name = f"{path}/" if entry.kind is Kind.FOLDER else path
    target = entry.target
    if (
        name.isascii()
        and target.isascii()
        and max(len(name), len(target)) <= _LONGEST_NAME
        and max(entry.size, mtime) < _LARGEST_NUMBER
    ):
        return _ustar(name, entry.size, *_fixed(entry.kind, _mode(entry), mtime, target))
    import tarfile

    info = tarfile.TarInfo(path)
    info.type, info.mode, info.mtime = _TYPES[entry.kind], _mode(entry), mtime
    info.size, info.linkname = entry.size, target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _mode(entry: Entry) -> int:
    if entry.kind is Kind.LINK:
        return 0o777
    return 0o755 if entry.executable or entry.kind is Kind.FOLDER else 0o644


def _ustar(name: str, size: int, owner: bytes, time: bytes, end: bytes, fixed_sum: int) -> bytes:
    """One header block (POSIX, pax, "ustar Interchange Format"); ours because the library's
    way takes as long as reading a small file.
    """
    shown, length = name.encode(), b"%011o" % size
    checksum = fixed_sum + sum(shown) + sum(length)
    return b"%b%b%b\0%b%06o\0 %b" % (
        shown.ljust(_LONGEST_NAME, b"\0"),
        owner,
        length,
        time,
        checksum,
        end,
    )


@lru_cache(256)
def _fixed(kind: str, mode: int, mtime: int, target: str) -> tuple[bytes, bytes, bytes, int]:
    """What most headers of an archive have in common: mode and owners, the time, what follows
    the checksum, and the sum of it all, the checksum's own field counted as eight blanks."""
    owner = b"%07o\0" % mode + b"0000000\0" * 2
    time = b"%011o\0" % mtime
    link = target.encode().ljust(_LONGEST_NAME, b"\0")
    end = _TYPES[kind] + link + b"ustar\00000" + _REST
    return owner, time, end, sum(owner) + sum(time) + sum(end) + 8 * ord(" ")


def _same(entry: Entry, status: os.stat_result) -> bool:
    """ctime is among them because a program can set mtime back, and not ctime."""
    return (
        stat.S_ISREG(status.st_mode)
        and entry.size == status.st_size
        and entry.mtime_ns == status.st_mtime_ns
        and entry.ctime_ns == status.st_ctime_ns
        and entry.inode == status.st_ino
    )


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: a pipe put in the file's place must not hang us; O_NOFOLLOW: nor a link."""


def _small(path: str, entry: Entry) -> bytes:
    """All of a file that fits into memory.

    It is compared with the walk's ``stat`` after it was read: a write sets the times before the
    bytes, so what was written before the end of the read shows in them.
    """
    try:
        handle = os.open(path, _FLAGS)
        try:
            data = os.read(handle, entry.size + 1)
            while len(data) < entry.size and (more := os.read(handle, entry.size - len(data))):
                data += more  # some file systems give less at once
            status = os.fstat(handle)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise changed(path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    if len(data) != entry.size or not _same(entry, status):
        raise changed(path)
    return data


def _content(root: Path, entry: Entry) -> Iterator[bytes]:
    path = f"{root}/{entry.path}"
    try:
        handle = os.open(path, _FLAGS)
    except FileNotFoundError:
        raise changed(path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        status = os.fstat(handle)
        if not _same(entry, status):
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
