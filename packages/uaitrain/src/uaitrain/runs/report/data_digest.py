"""One digest for a folder of data: whether two runs saw the same.

The listing's digest is SHA-256 over one record a file, sorted by path: the path in it, its size
and its time of change in nanoseconds. It reads no file, and says of a copy with other times that
it is another one. The contents' digest has each file's SHA-256 in place of the time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.progress import Progress, Silent

_LEFT_OUT = frozenset({"lock.mdb"})
"""LMDB's lock, which every reader writes."""


@dataclass(frozen=True)
class DataDigest:
    """``kind`` says of what it is. Sizes in bytes; ``size`` is that of all files together."""

    digest: str
    kind: str
    files: int
    size: int


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    changed: int


def digest_of(folder: Path, *, contents: bool, progress: Progress | None = None) -> DataDigest:
    """Raises StorageError for a folder or a file that cannot be read."""
    files = sorted(_files(folder), key=lambda file: os.fsencode(file.path))
    total = sum(file.size for file in files)
    task = (progress or Silent()).start("reading the data", total) if contents else None
    whole = hashlib.sha256()
    for file in files:
        last = str(file.changed)
        if task is not None:
            last = _sha256(folder / file.path, task.advance)
        whole.update(os.fsencode(file.path) + f"\0{file.size}\0{last}\n".encode())
    if task is not None:
        task.done()
    kind = "names, sizes and contents" if contents else "names, sizes and times of change"
    return DataDigest(f"sha256:{whole.hexdigest()}", kind, len(files), total)


def _files(folder: Path) -> Iterator[_File]:
    """Regular files, through links to files but not to folders."""

    def refuse(error: OSError) -> None:
        raise storage_error(error, Path(error.filename), "read") from None

    for parent, _, names in os.walk(folder, onerror=refuse):
        for name in names:
            path = Path(parent, name)
            if name in _LEFT_OUT or not path.is_file():
                continue
            try:
                status = path.stat()
            except OSError as error:
                raise storage_error(error, path, "read") from None
            yield _File(str(path.relative_to(folder)), status.st_size, status.st_mtime_ns)


def _sha256(path: Path, advance: Callable[[int], None]) -> str:
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
                advance(len(piece))
    except OSError as error:
        raise storage_error(error, path, "read") from None
    return found.hexdigest()
