"""Which files were searched for secrets before, and held none: they are not read again.

A file is known by its path and all that ``stat`` tells of it. One that was written in the same
tick of the clock as it was read is not remembered, nor one in which something was found. The table
of a folder carries a checksum; a lost or damaged one only costs another search.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from uaitrain import __version__, atomic
from uaitrain.errors import UaitrainError
from uaitrain.files.inventory import Entry
from uaitrain.sha256 import sha256

MOST_KEPT = 100
"""Tables, one for each code folder; the longest unused go."""


def row(entry: Entry) -> str:
    """What must be the same for a file to be the same; no two files' rows are equal."""
    return (
        f"{entry.path}\0{entry.size},{entry.mtime_ns},{entry.ctime_ns},{entry.inode},{entry.device}"
    )


class Searched:
    """The table of the code folder ``root`` in ``folder``; ``rules`` tells what was looked for."""

    def __init__(self, folder: Path, root: Path, rules: str) -> None:
        words = "\0".join((__version__, rules, str(root)))
        name = sha256(words.encode("utf-8", "surrogateescape")).hexdigest()
        self._path = folder / name

    def load(self) -> frozenset[str]:
        try:
            told, _, data = self._path.read_bytes().partition(b"\n")
            if told != _checksum(data):
                return frozenset()
            rows = data.decode("utf-8", "surrogateescape").split(_BETWEEN)
        except (OSError, ValueError):
            return frozenset()
        with contextlib.suppress(OSError):
            os.utime(self._path)
        return frozenset(rows)

    def save(self, rows: Collection[str]) -> None:
        data = _BETWEEN.join(sorted(rows)).encode("utf-8", "surrogateescape")
        with contextlib.suppress(OSError, UaitrainError):
            folder = self._path.parent
            folder.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(self._path, _checksum(data) + b"\n" + data, durable=False)
            kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in kept[:-MOST_KEPT]:
                path.unlink(missing_ok=True)


_BETWEEN = "\0\0"
"""Neither a path nor a number holds it, nor ends with a half of it."""


def _checksum(data: bytes) -> bytes:
    return sha256(data).hexdigest().encode()
