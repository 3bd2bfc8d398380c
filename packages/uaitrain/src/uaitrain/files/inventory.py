"""What lies in the code folder, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Kind(Enum):
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One selected file, folder or symlink.

    ``path`` is relative to the root, with ``/``. ``size`` is in bytes. ``mtime_ns``,
    ``ctime_ns``, ``inode`` and ``device`` are as ``stat`` gave them; ``target`` is a link's text.
    """

    path: str
    kind: Kind
    size: int = 0
    executable: bool = False
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    device: int = 0
    target: str = ""


@dataclass(frozen=True)
class Inventory:
    """The selected entries, sorted by path, and what the rules left out (top-most paths)."""

    root: Path
    entries: tuple[Entry, ...]
    ignored: tuple[str, ...] = ()

    def find(self, path: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.path == path), None)

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)
