"""What lies in the code folder, as values."""

from __future__ import annotations

from array import array
from collections import namedtuple
from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path

from uaitrain.sha256 import sha256
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NamedTuple, cast

    class Kind:
        """What an entry is."""

        FILE: Final = "file"
        FOLDER: Final = "folder"
        LINK: Final = "link"

    class Entry(NamedTuple):
        """One selected file, folder or symlink.

        ``path`` is relative to the root, with ``/``. ``kind`` is one of :class:`Kind`. ``size``
        is in bytes. ``mtime_ns``, ``ctime_ns``, ``inode`` and ``device`` are as ``stat`` gave
        them, for files; ``target`` is a link's text.
        """

        path: str
        kind: str
        size: int = 0
        executable: bool = False
        mtime_ns: int = 0
        ctime_ns: int = 0
        inode: int = 0
        device: int = 0
        target: str = ""
else:

    def cast(kind, value):
        return value

    class Kind:
        FILE, FOLDER, LINK = "file", "folder", "link"

    # A folder may hold 100,000 of them: a tuple is made in a tenth of a dataclass's time.
    Entry = namedtuple(
        "Entry",
        "path kind size executable mtime_ns ctime_ns inode device target",
        defaults=(0, False, 0, 0, 0, 0, ""),
        module=__name__,
    )

_KIND, _SIZE = 1, 2
"""Where they stand in an entry."""

_ABOUT_BYTES = 100
"""What an entry takes in a fingerprint."""

_FINE_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_100_000_000


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
        return sum(map(itemgetter(_SIZE), self.entries))

    @property
    def has_links(self) -> bool:
        return Kind.LINK in map(itemgetter(_KIND), self.entries)

    @cached_property
    def fingerprint(self) -> str:
        """A name for everything that ``stat`` tells of the entries."""
        return fingerprint(self.entries)


def fingerprint(entries: Sequence[Entry]) -> str:
    """SHA-256 of all fields of ``entries``, in hexadecimal: by columns, a quarter of a microsecond
    an entry, where a text of each would take ten times that."""
    hashed = sha256(b"%d" % len(entries), size=len(entries) * _ABOUT_BYTES)
    for column in zip(*entries, strict=True):
        data = _packed(column)
        hashed.update(b"|%d|" % len(data))
        hashed.update(data)
    return hashed.hexdigest()


def _packed(column: tuple[object, ...]) -> bytes:
    """One field of all entries as bytes that no other values give."""
    if isinstance(column[0], str):
        # No path and no link's text holds a zero byte.
        return "\0".join(cast("tuple[str, ...]", column)).encode("utf-8", "surrogateescape")
    try:
        return array("q", cast("tuple[int, ...]", column)).tobytes()
    except OverflowError:  # some file systems number their inodes beyond 63 bits
        return repr(column).encode()


def is_settled(entries: Sequence[Entry], read_at_ns: int) -> bool:
    """Whether every change before ``read_at_ns`` must show in the times of the files.

    File systems with whole seconds (their times end in nine zeros) get a coarser measure.
    """
    clear = read_at_ns - _COARSE_TICK_NS
    # Most are older than any tick; the others are looked at one by one.
    young = [each for each in entries if each.mtime_ns > clear or each.ctime_ns > clear]
    for entry in young:
        tick = _FINE_TICK_NS if entry.ctime_ns % 1_000_000_000 else _COARSE_TICK_NS
        if entry.kind is Kind.FILE and max(entry.mtime_ns, entry.ctime_ns) + tick > read_at_ns:
            return False
    return True
