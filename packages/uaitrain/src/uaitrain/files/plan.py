"""From an inventory to layer plans, without touching the disk.

Small files are bundled, each large file is a layer of its own, so that an edit costs what
changed. Bundles are cut where a hash of the path says so, not at a count: adding or removing a
file then changes its own bundle and leaves the others as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from uaitrain.files.inventory import Entry, Inventory, Kind
from uaitrain.values import dataclass, field

LARGE_BYTES = 16 << 20
"""A file of at least this size gets a layer of its own."""

MAX_LARGE_LAYERS = 40
"""The largest files get the layers; image stores allow about 127 layers with the base's."""

BUNDLE_MIN_BYTES = 2 << 20
BUNDLE_TARGET_BYTES = 6 << 20
BUNDLE_MAX_BYTES = 24 << 20
MAX_BUNDLES = 40


@dataclass(frozen=True)
class LayerPlan:
    """The entries of one image layer, in archive order, and where they go.

    ``prefix`` is the folder in the image, without slashes at the ends. ``mtime`` (seconds since
    1970) is given to every entry. ``folders`` are the parents that the archive names first.
    ``given`` holds the bytes of entries that are in no file, by path.
    """

    name: str
    prefix: str
    folders: tuple[str, ...]
    entries: tuple[Entry, ...]
    mtime: int = 0
    given: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def content_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)


def plan_layers(inventory: Inventory, prefix: str, mtime: int = 0) -> tuple[LayerPlan, ...]:
    """Layer plans for everything in ``inventory``, under ``prefix`` in the image.

    Bundles of small files come first, then the large files in path order.
    """
    files = [entry for entry in inventory.entries if entry.kind is Kind.FILE]
    large = sorted(
        (entry for entry in files if entry.size >= LARGE_BYTES),
        key=lambda entry: (-entry.size, entry.path),
    )[:MAX_LARGE_LAYERS]
    alone = {entry.path for entry in large}
    small = [entry for entry in inventory.entries if entry.path not in alone]
    bundles = _bundles(small)
    plans = [
        _plan(f"code {number} of {len(bundles)}" if len(bundles) > 1 else "code", prefix, b, mtime)
        for number, b in enumerate(bundles, 1)
    ]
    plans += [
        _plan(entry.path, prefix, [entry], mtime)
        for entry in sorted(large, key=lambda entry: entry.path)
    ]
    return tuple(plans)


def plan_given(name: str, folder: str, file: str, data: bytes) -> LayerPlan:
    """A layer with one file that lies nowhere yet: ``data`` as ``folder/file`` in the image."""
    parents = _parents([f"{folder}/{file}"])
    entry = Entry(file, Kind.FILE, len(data))
    return LayerPlan(name, folder, tuple(sorted(parents)), (entry,), given={file: data})


def _bundles(entries: list[Entry]) -> list[list[Entry]]:
    total = sum(entry.size for entry in entries)
    # Doubled, not counted up: a folder that grows is cut anew once in a while, not every 120 MiB.
    grow = 1
    while total > grow * MAX_BUNDLES * BUNDLE_TARGET_BYTES // 2:
        grow *= 2
    bundles: list[list[Entry]] = []
    current: list[Entry] = []
    size = 0
    for entry in entries:
        if size >= BUNDLE_MIN_BYTES * grow and (
            _is_boundary(entry, grow) or size + entry.size > BUNDLE_MAX_BYTES * grow
        ):
            bundles.append(current)
            current, size = [], 0
        current.append(entry)
        size += entry.size + 512
    return [*bundles, current] if current else bundles


def _is_boundary(entry: Entry, grow: int) -> bool:
    """Whether a bundle may begin here: likelier the more bytes the file brings."""
    wanted = (BUNDLE_TARGET_BYTES - BUNDLE_MIN_BYTES) * grow
    weight = (entry.size + 4096) / wanted
    return zlib.crc32(entry.path.encode("utf-8", "surrogateescape")) < weight * 2**32


def _plan(name: str, prefix: str, entries: list[Entry], mtime: int) -> LayerPlan:
    named = {entry.path for entry in entries if entry.kind is Kind.FOLDER}
    paths = [f"{prefix}/{entry.path}" for entry in entries]
    folders = _parents(paths) - {f"{prefix}/{path}" for path in named}
    return LayerPlan(name, prefix, tuple(sorted(folders)), tuple(entries), mtime)


def _parents(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in found:
            found.add(path)
    return found
