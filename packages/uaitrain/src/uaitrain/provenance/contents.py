"""What one image layer brings, read once and remembered by the digest of its tar.

Of a base that lies only in a registry this means reading its layers over the network, once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import posixpath
import tarfile
import time
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from isal import igzip, igzip_lib

from uaitrain import atomic
from uaitrain.errors import DigestError, RegistryError, UaitrainError
from uaitrain.oci.blob import CHUNK, Verifier
from uaitrain.oci.digest import hex_part
from uaitrain.oci.layer import Layer
from uaitrain.progress import Progress, Task
from uaitrain.provenance import packages
from uaitrain.provenance.packages import Package, System
from uaitrain.values import dataclass

_VERSION = 1
"""Of the form in which contents are remembered, and of what is read out of a layer."""

_UNUSED_SECONDS = 60 * 24 * 3600
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

MAX_HEADER_BYTES = 1 << 20
"""Of one long name or extended header (pax), which tarfile reads whole, however long it is."""

MAX_ENTRIES = 2_000_000
"""Of one layer."""

_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, igzip_lib.IsalError, ValueError)


@dataclass(frozen=True)
class File:
    """A regular file; ``sha256`` in hexadecimal digits, ``size`` in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Contents:
    """``databases`` has the packages that each database (a path) tells of. ``hidden`` are the
    paths of lower layers that this one removes: with a ``/`` at the end, all below it.
    ``files`` is empty where they were not asked for.
    """

    databases: dict[str, tuple[Package, ...]]
    systems: dict[str, System]
    hidden: tuple[str, ...]
    files: tuple[File, ...] = ()


class Reader:
    """Reads layers, and remembers in ``folder`` what it found. A lost memory costs time only."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self._progress = progress

    def read(self, layer: Layer, what: str, *, files: bool) -> Contents:
        """The contents of ``layer``, with every file's digest where ``files`` are asked for.

        Raises RegistryError for a layer that is no tar, DigestError for other bytes than its
        digests say, and what the layer's stream raises.
        """
        known = self._folder / f"{hex_part(layer.diff_id)}{'-files' if files else ''}.json"
        found = _recall(known)
        if found is None:
            task = self._progress.start(f"look into {what}", layer.descriptor.size)
            found = _read(layer, what, files, task)
            task.done()
            # A full disk is no reason to do without an SBOM.
            with contextlib.suppress(OSError, UaitrainError):
                self._folder.mkdir(parents=True, exist_ok=True)
                atomic.write_bytes(known, json.dumps(_to_json(found)).encode())
        return found

    def prune(self) -> None:
        """Forget what was not asked for in two months."""
        oldest = time.time() - _UNUSED_SECONDS
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)


class _Hashed(io.RawIOBase):
    """Reads ``source`` and hashes what was read."""

    def __init__(self, source: IO[bytes], task: Task | None = None) -> None:
        super().__init__()
        self._source, self._task = source, task
        self.verifier = Verifier()

    def readable(self) -> bool:
        return True

    # Any writable buffer, which typing cannot name for Python 3.11.
    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        view[: len(data)] = data
        self.verifier.write(data)
        if self._task:
            self._task.advance(len(data))
        return len(data)


def _read(layer: Layer, what: str, files: bool, task: Task) -> Contents:
    with layer.open() as source:
        blob = _Hashed(source, task)
        plain = _Hashed(_decompressed(layer, io.BufferedReader(blob, CHUNK), what))
        stream = io.BufferedReader(plain, CHUNK)
        try:
            found = _entries(stream, files)
            # A tar may go on after its end; the digests are those of everything.
            while stream.read(CHUNK) or blob.read(CHUNK):
                pass
        except _BROKEN as error:  # type: ignore[misc] # isal's is untyped
            raise RegistryError(
                f"{what}: the layer is no whole tar: {error}",
                next_step="the image is damaged: push or build it again",
            ) from None
    blob.verifier.check(layer.descriptor, what)
    if plain.verifier.digest != layer.diff_id:
        raise DigestError(
            f"{what}: the unpacked layer has digest {plain.verifier.digest}, the image's config "
            f"says {layer.diff_id}",
            next_step="the image is damaged: push or build it again",
        )
    return found


def _decompressed(layer: Layer, blob: BinaryIO, what: str) -> IO[bytes]:
    media_type = layer.descriptor.media_type
    if media_type.endswith(("+gzip", ".gzip")):
        return cast("IO[bytes]", igzip.open(blob, "rb"))  # type: ignore[no-untyped-call]
    if media_type.endswith(".tar"):
        return blob
    raise RegistryError(
        f"{what}: layers of type {media_type[:100]!r} cannot be looked into",
        allowed="tar, plain or compressed with gzip",
        next_step="choose a base with gzip layers, or pack without --sbom",
    )


_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


class _Bounded(tarfile.TarInfo):
    """An entry whose headers take no more memory than is good."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0:
            raise tarfile.ReadError("an entry of negative size")
        if self.type in _HEADERS and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc] # a hook
        return found

    def _no_sparse(self, *_: object) -> tarfile.TarInfo:
        raise tarfile.ReadError("a sparse file, which no image layer needs")

    # Their maps are read whole, too. GNU's own form, and the three of pax.
    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _no_sparse


def _entries(stream: BinaryIO, files: bool) -> Contents:
    databases: dict[str, tuple[Package, ...]] = {}
    systems: dict[str, System] = {}
    hidden: list[str] = []
    seen: dict[str, File] = {}
    with tarfile.open(
        fileobj=stream, mode="r|", errors="surrogateescape", tarinfo=_Bounded
    ) as archive:
        for number, member in enumerate(archive):
            if number >= MAX_ENTRIES:
                raise tarfile.ReadError(f"more than {MAX_ENTRIES} entries")
            path = posixpath.normpath(member.name).lstrip("/")
            folder, _, last = path.rpartition("/")
            if last == _OPAQUE:
                hidden.append(f"{folder}/")
            elif last.startswith(_WHITEOUT):
                hidden.append(posixpath.join(folder, last.removeprefix(_WHITEOUT)))
            elif member.isreg():
                data = archive.extractfile(member)
                assert data is not None
                if packages.is_database(path):
                    head = data.read(packages.head_bytes(path))
                    databases[path] = packages.read_database(path, head)
                elif packages.is_system(path):
                    head = data.read(packages.head_bytes(path))
                    systems[path] = packages.read_system(head)
                else:
                    head = b""
                if files:
                    seen[path] = File(path, _hash(head, data), member.size)
            # The archive keeps every header it has read; a large layer has very many.
            archive.members = []  # type: ignore[attr-defined] # typed as read only
    return Contents(databases, systems, tuple(hidden), tuple(seen.values()))


def _hash(head: bytes, rest: IO[bytes]) -> str:
    found = hashlib.sha256(head)
    while data := rest.read(CHUNK):
        found.update(data)
    return found.hexdigest()


def _to_json(contents: Contents) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "databases": {
            path: [[p.kind, p.name, p.version, p.architecture, p.source, p.licence] for p in each]
            for path, each in contents.databases.items()
        },
        "systems": {path: [s.name, s.version] for path, s in contents.systems.items()},
        "hidden": list(contents.hidden),
        "files": [[f.path, f.sha256, f.size] for f in contents.files],
    }


def _recall(path: Path) -> Contents | None:
    try:
        value = json.loads(path.read_bytes())
        if value["version"] != _VERSION:
            return None
        found = Contents(
            {
                name: tuple(Package(*each) for each in all_)
                for name, all_ in value["databases"].items()
            },
            {name: System(*each) for name, each in value["systems"].items()},
            tuple(value["hidden"]),
            tuple(File(*each) for each in value["files"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    with contextlib.suppress(OSError):
        path.touch()
    return found
