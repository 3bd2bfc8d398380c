"""What is known of layers that were built before, and the compressed bytes of recent ones.

Layers are known by the ``stat`` of everything in them (path, size, mtime, ctime, inode, device),
so an unchanged folder's digests are known without reading a byte of it. A file that was written
in the same tick of the clock as it was read could change again without its times telling: layers
with such a file are not remembered (the rule that git's index uses).

Nothing here is needed to be right. Every record carries a checksum, and every blob that another
process left is hashed before it is used: what is lost or damaged is built again from the files.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from uaitrain import __version__, atomic
from uaitrain.errors import UaitrainError
from uaitrain.files.compress import library_version
from uaitrain.files.inventory import Inventory
from uaitrain.files.inventory import fingerprint as of_entries
from uaitrain.files.plan import LayerPlan
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest, hex_part, parse_digest
from uaitrain.sha256 import sha256
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, BinaryIO

SPOOL_LIMIT_BYTES = 4 << 30
"""The compressed layers that are kept; the longest unused go first."""

MOST_RECORDS = 5_000
"""Beyond it the longer unused half of the records goes; one takes a block of the disk."""

FORGOTTEN_AFTER_SECONDS = 24 * 3600
"""A part of a blob that nobody wrote to for so long belongs to a pack that was killed."""

_RECORD_FORMAT = "2"
_PART = ".part-"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class LayerFacts:
    """What one pass over a layer finds out."""

    diff_id: Digest
    descriptor: Descriptor


Named = tuple[str, LayerFacts]
"""A layer's name and its facts."""


def plan_key(plan: LayerPlan) -> str:
    """A name for the plan's exact content as far as ``stat`` tells it."""
    words = ["layer", plan.prefix, str(plan.mtime), *plan.folders, of_entries(plan.entries)]
    return _key(words)


def folder_key(inventory: Inventory, prefix: str, mtime: int) -> str:
    """A name for all layers of a folder, before they are planned."""
    return _key(["folder", prefix, str(mtime), inventory.fingerprint])


def given_key(name: str, source: str) -> str:
    """A name for a layer of what lies in no file; ``source`` tells all that it is made of."""
    return _key(["given", name, source])


def _key(words: Sequence[str]) -> str:
    # How files become layers is the tool's business, and compressed bytes are the library's.
    text = "\0".join((_RECORD_FORMAT, __version__, library_version(), *words))
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class LayerCache:
    """Known layers in ``folder`` (``facts/``) and their compressed bytes (``blobs/``)."""

    def __init__(self, folder: Path) -> None:
        self._facts = folder / "facts"
        self._blobs = folder / "blobs"
        self._written: dict[Digest, tuple[int, ...]] = {}

    def recall(self, key: str) -> tuple[Named, ...] | None:
        """The layers that are remembered as ``key``; None where nothing or nonsense is."""
        path = self._facts / key
        try:
            told, _, data = path.read_bytes().partition(b"\n")
            if told != _checksum(key, data):
                return None
            found = tuple(
                (str(name), LayerFacts(parse_digest(diff_id), Descriptor.from_json(descriptor)))
                for name, diff_id, descriptor in json.loads(data)
            )
        except (OSError, ValueError, LookupError, TypeError, UaitrainError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def remember(self, key: str, layers: Sequence[Named]) -> None:
        """Only for layers whose files were settled when they were read."""
        rows = [(name, f.diff_id, f.descriptor.to_json()) for name, f in layers]
        data = json.dumps(rows).encode()
        with contextlib.suppress(OSError, UaitrainError):
            self._facts.mkdir(parents=True, exist_ok=True)
            record = _checksum(key, data) + b"\n" + data
            atomic.write_bytes(self._facts / key, record, durable=False)

    def open_blob(self, wanted: Descriptor) -> BinaryIO | None:
        """The kept bytes of ``wanted``, if they are there and right; wrong ones are deleted.

        What this very object wrote is taken as it is while the file's ``stat`` is the same.
        """
        path = self._blobs / hex_part(wanted.digest)
        try:
            file = path.open("rb")
        except OSError:
            return None
        with contextlib.ExitStack() as stack:
            stack.callback(file.close)
            try:
                fits = self._is_ours(wanted, file) or _holds(file, wanted)
            except OSError:
                fits = False
            if not fits:
                with contextlib.suppress(OSError):
                    path.unlink()
                return None
            with contextlib.suppress(OSError):
                os.utime(path)
                self._note(wanted.digest, file)
            stack.pop_all()
        return file

    def _is_ours(self, wanted: Descriptor, file: BinaryIO) -> bool:
        return self._written.get(wanted.digest) == _identity(file)

    def _note(self, digest: Digest, file: IO[bytes]) -> None:
        """Remember for this process that the bytes in ``file`` are right."""
        self._written[digest] = _identity(file)

    @contextlib.contextmanager
    def spool(self) -> Iterator[Spool]:
        """A place for a blob whose digest is not known yet; gone unless it is kept."""
        file: IO[bytes] | None = None
        path = ""
        with contextlib.suppress(OSError):
            self._blobs.mkdir(parents=True, exist_ok=True)
            handle, path = atomic.make_temporary(self._blobs, _PART)
            file = os.fdopen(handle, "wb")
        spool = Spool(file, Path(path), self._blobs)
        try:
            yield spool
            if spool.kept is not None:
                self._written[spool.kept[0]] = spool.kept[1]
        finally:
            spool.drop()

    def prune(self, limit: int = SPOOL_LIMIT_BYTES) -> None:
        """Delete the longest unused blobs beyond ``limit`` bytes, the longer unused half of too
        many records, and parts of killed packs."""
        kept = 0
        for used, size, path in sorted(_files(self._blobs), reverse=True):
            if path.rpartition("/")[2].startswith(_PART):
                gone = time.time() - used > FORGOTTEN_AFTER_SECONDS
            else:
                kept += size
                gone = kept > limit
            if gone:
                _delete(path)
        with contextlib.suppress(OSError):
            if len(os.listdir(self._facts)) > MOST_RECORDS:  # noqa: PTH208 - names alone
                for _, _, path in sorted(_files(self._facts))[: MOST_RECORDS // 2]:
                    _delete(path)


class Spool:
    """Collects a blob's bytes beside the cache; a full disk only means that it is not kept.

    ``kept`` is what was kept at last: its digest, and what ``stat`` told of the file.
    """

    def __init__(self, file: IO[bytes] | None, path: Path, blobs: Path) -> None:
        self._file = file
        self._path = path
        self._folder = blobs
        self.kept: tuple[Digest, tuple[int, ...]] | None = None

    def write(self, chunk: bytes) -> None:
        if self._file:
            try:
                self._file.write(chunk)
            except OSError:
                self.drop()

    def keep(self, digest: Digest) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self._file.flush()
                self._path.replace(self._folder / hex_part(digest))
                # After the new name: it changes ctime.
                self.kept = digest, _identity(self._file)
                self._file.close()
                self._file = None

    def drop(self) -> None:
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._file = None


def _checksum(key: str, data: bytes) -> bytes:
    """Holds the key, so that a record under another's name is none."""
    return sha256(key.encode() + b"\n" + data).hexdigest().encode()


def _identity(file: IO[bytes]) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _holds(file: BinaryIO, wanted: Descriptor) -> bool:
    """Whether the whole file is the blob; it is at its start again afterwards."""
    if os.fstat(file.fileno()).st_size != wanted.size:
        return False
    hashed = sha256(size=wanted.size)
    while chunk := file.read(_CHUNK):
        hashed.update(chunk)
    file.seek(0)
    return "sha256:" + hashed.hexdigest() == wanted.digest


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """When each file was used last, its size and its path; others may delete meanwhile."""
    with contextlib.suppress(OSError), os.scandir(folder) as scan:
        for item in scan:
            with contextlib.suppress(OSError):
                status = item.stat()
                yield status.st_mtime, status.st_size, item.path


def _delete(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - a text already
