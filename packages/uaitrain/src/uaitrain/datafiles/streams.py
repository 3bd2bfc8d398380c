"""Copy and hash bytes, claim folders, check space: what split and merge share."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from uaitrain.errors import BusyError, SourceError, StorageError
from uaitrain.units import human_bytes

PARTIAL = ".uaitrain-partial"
"""What a file or folder is called until it is whole."""

Telling: TypeAlias = Callable[[int], None]
Sha256: TypeAlias = "hashlib._Hash"

_CHUNK = 1 << 20


def copy(
    source: IO[bytes], size: int, out: IO[bytes] | None, hashes: Sequence[Sha256], tell: Telling
) -> int:
    """Read up to ``size`` bytes into ``hashes`` and ``out``; the number of bytes there were."""
    left = size
    while left:
        chunk = source.read(min(_CHUNK, left))
        if not chunk:
            break
        for each in hashes:
            each.update(chunk)
        if out is not None:
            out.write(chunk)
        left -= len(chunk)
        tell(len(chunk))
    return size - left


def digest_of(path: Path, tell: Telling = lambda amount: None) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        copy(file, path.stat().st_size, None, [sha256], tell)
    return sha256.hexdigest()


def make_durable(path: Path) -> None:
    """Flush a file or a folder's entries to disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def need_space(folder: Path, size: int) -> None:
    """Raises StorageError when ``folder``'s file system has less than ``size`` bytes free."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise StorageError(
            f"{folder} has {human_bytes(free)} free, but {human_bytes(size)} are needed",
            next_step="free some space there, or choose another place with --out",
        )


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Nobody else splits into or merges from ``folder`` meanwhile. Raises BusyError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"another `uaitrain data` works in {folder}", next_step="wait until it has ended"
            ) from None
        yield
    finally:
        os.close(handle)


def changed(path: Path) -> SourceError:
    return SourceError(
        f"{path} changed while it was read",
        next_step="stop what writes it, then run the same command again",
    )
