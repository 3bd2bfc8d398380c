"""A layer plan as a reproducible tar stream (POSIX pax interchange format).

Owners are 0:0, modes 0755 or 0644, times the plan's, entries in the plan's order: the bytes
depend on paths, contents, executable bits and link targets, and on nothing else.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from uaitrain.files.inventory import Entry, Kind
from uaitrain.files.plan import LayerPlan
from uaitrain.files.select import changed, unreadable

CHUNK_BYTES = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_TYPES = {Kind.FILE: tarfile.REGTYPE, Kind.FOLDER: tarfile.DIRTYPE, Kind.LINK: tarfile.SYMTYPE}


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
    info = tarfile.TarInfo(path)
    info.type = _TYPES[entry.kind]
    info.mode = 0o755 if entry.executable or entry.kind is not Kind.FILE else 0o644
    info.mode = 0o777 if entry.kind is Kind.LINK else info.mode
    info.mtime = mtime
    info.size = entry.size
    info.linkname = entry.target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _same(entry: Entry, status: os.stat_result) -> bool:
    return (entry.size, entry.mtime_ns, entry.inode) == (
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
    )


def _content(root: Path, entry: Entry) -> Iterator[bytes]:
    path = root / entry.path
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
