"""Files that were made once and go into images as they lie in the cache: are they still whole?

Beside their folder stands a note of each one's SHA-256 and of what ``stat`` told of it. A file of
which ``stat`` still tells the same is taken as it is; any other is hashed. What is not whole, or
has no note, is to be made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from uaitrain import atomic
from uaitrain.errors import UaitrainError
from uaitrain.sha256 import sha256

_CHUNK = 1 << 20


def note(folder: Path, names: Sequence[str]) -> None:
    """Note the files ``names`` of ``folder``, just made. Where that fails they are made again."""
    with contextlib.suppress(OSError, UaitrainError):
        rows = {name: [_digest(folder / name), *_stat(folder / name)] for name in names}
        data = json.dumps(rows).encode()
        atomic.write_bytes(_note_of(folder), _checksum(data) + b"\n" + data, durable=False)


def is_whole(folder: Path, names: Sequence[str]) -> bool:
    """Whether all of ``names`` are there as they were made."""
    try:
        told, _, data = _note_of(folder).read_bytes().partition(b"\n")
        if told != _checksum(data):
            return False
        rows = json.loads(data)
        touched = [name for name in names if rows[name][1:] != _stat(folder / name)]
        if any(rows[name][0] != _digest(folder / name) for name in touched):
            return False
    except (OSError, ValueError, LookupError, TypeError):
        return False
    if touched:
        note(folder, names)
    return True


def _note_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.sums")


def _checksum(data: bytes) -> bytes:
    return sha256(data).hexdigest().encode()


def _stat(path: Path) -> list[int]:
    status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - as little as can be, each pack
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        hashed = sha256(size=os.fstat(file.fileno()).st_size)
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()
