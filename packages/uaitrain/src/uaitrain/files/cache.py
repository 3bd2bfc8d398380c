"""What is known of layers that were built before, and the compressed bytes of recent ones.

A layer is known by the ``stat`` of everything in it (path, size, mtime, ctime, inode, device),
so an unchanged layer's digest is known without reading a byte. A file that was written in the
same tick of the clock as it was read could change again without its times telling: layers with
such a file are not remembered (the rule that git's index uses).

Nothing here is needed to be right: a lost or broken entry costs time only, and every blob is
verified against its digest when it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from uaitrain import __version__, atomic
from uaitrain.errors import UaitrainError
from uaitrain.files.inventory import Entry, Kind
from uaitrain.files.plan import LayerPlan
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest, hex_part, parse_digest
from uaitrain.values import dataclass

SPOOL_LIMIT_BYTES = 4 << 30
"""The compressed layers that are kept; the oldest go first."""

_FINE_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_100_000_000


@dataclass(frozen=True)
class LayerFacts:
    """What one pass over a layer finds out."""

    diff_id: Digest
    descriptor: Descriptor


def plan_key(plan: LayerPlan) -> str:
    """A name for the plan's exact content as far as ``stat`` tells it."""
    return stat_key([__version__, plan.prefix, str(plan.mtime), *plan.folders], plan.entries)


def stat_key(words: Iterable[str], entries: Iterable[Entry]) -> str:
    """A hash of ``words`` and of everything that ``stat`` tells of ``entries``."""
    parts = list(words)
    parts += [
        f"{e.path}\0{e.kind.value}{e.size},{e.executable},{e.mtime_ns},{e.ctime_ns},"
        f"{e.inode},{e.device},{e.target}"
        for e in entries
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def is_settled(entries: Iterable[Entry], read_at_ns: int) -> bool:
    """Whether every change before ``read_at_ns`` must show in the times of the files.

    File systems with whole seconds (their times end in nine zeros) get a coarser measure.
    """
    for entry in entries:
        if entry.kind is Kind.FILE:
            newest = max(entry.mtime_ns, entry.ctime_ns)
            tick = _FINE_TICK_NS if entry.ctime_ns % 1_000_000_000 else _COARSE_TICK_NS
            if newest + tick > read_at_ns:
                return False
    return True


class LayerCache:
    """Known layers in ``folder`` (``facts/``) and their compressed bytes (``blobs/``)."""

    def __init__(self, folder: Path) -> None:
        self._facts = folder / "facts"
        self._blobs = folder / "blobs"

    def recall(self, plan: LayerPlan) -> LayerFacts | None:
        try:
            value = json.loads((self._facts / plan_key(plan)).read_bytes())
            return LayerFacts(
                parse_digest(value["diff_id"]), Descriptor.from_json(value["descriptor"])
            )
        except (OSError, ValueError, LookupError, TypeError, UaitrainError):
            return None

    def remember(self, plan: LayerPlan, facts: LayerFacts, read_at_ns: int) -> None:
        if not is_settled(plan.entries, read_at_ns):
            return
        value = {"diff_id": facts.diff_id, "descriptor": facts.descriptor.to_json()}
        with contextlib.suppress(OSError, UaitrainError):
            self._facts.mkdir(parents=True, exist_ok=True)
            atomic.write_bytes(
                self._facts / plan_key(plan), json.dumps(value).encode(), durable=False
            )

    def blob(self, digest: Digest) -> Path | None:
        """The file with this blob's bytes, if they were kept."""
        path = self._blobs / hex_part(digest)
        with contextlib.suppress(OSError):
            os.utime(path)
            return path
        return None

    @contextlib.contextmanager
    def spool(self) -> Iterator[Spool]:
        """A place for a blob whose digest is not known yet; gone unless it is kept."""
        file: IO[bytes] | None = None
        path = ""
        with contextlib.suppress(OSError):
            self._blobs.mkdir(parents=True, exist_ok=True)
            handle, path = atomic.make_temporary(self._blobs, ".part-")
            file = os.fdopen(handle, "wb")
        spool = Spool(file, Path(path), self._blobs)
        try:
            yield spool
        finally:
            spool.drop()

    def prune(self, limit: int = SPOOL_LIMIT_BYTES) -> None:
        """Delete the longest unused blobs beyond ``limit`` bytes, and parts of killed packs."""
        found: list[tuple[float, int, Path]] = []
        with contextlib.suppress(OSError):
            for path in self._blobs.iterdir():
                status = path.stat()
                if path.name.startswith(".part-"):
                    if time.time() - status.st_mtime > 24 * 3600:
                        path.unlink(missing_ok=True)
                else:
                    found.append((status.st_mtime, status.st_size, path))
        kept = 0
        for _, size, path in sorted(found, reverse=True):
            kept += size
            if kept > limit:
                with contextlib.suppress(OSError):
                    path.unlink()


class Spool:
    """Collects a blob's bytes beside the cache; a full disk only means that it is not kept."""

    def __init__(self, file: IO[bytes] | None, path: Path, blobs: Path) -> None:
        self._file = file
        self._path = path
        self._folder = blobs

    def write(self, chunk: bytes) -> None:
        if self._file:
            try:
                self._file.write(chunk)
            except OSError:
                self.drop()

    def keep(self, digest: Digest) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
                self._path.replace(self._folder / hex_part(digest))
                self._file = None

    def drop(self) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._file = None
