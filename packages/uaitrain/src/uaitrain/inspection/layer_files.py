"""Which files one image layer brings and hides, read as a stream and verified by its diff_id.

Format: OCI image-spec, layer.md.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
import zlib
from collections.abc import Collection, Iterator
from typing import IO, Any, cast

from isal import igzip, igzip_lib

from uaitrain.errors import DigestError, RegistryError
from uaitrain.oci.blob import CHUNK
from uaitrain.oci.careful_tar import MAX_ENTRIES, CarefulTarInfo
from uaitrain.oci.layer import Layer
from uaitrain.progress import Progress, Task
from uaitrain.values import dataclass, field

FILE, FOLDER, LINK, HARD_LINK, OTHER = "file", "folder", "link", "hard link", "other"
MAX_BODY_BYTES = 256 * 1024
"""The largest file whose bytes are kept to be compared line by line."""

_MAX_UNPACKED_BYTES = 1 << 40
_MAX_PATH = 4096
_WHITEOUT, _OPAQUE, _META = ".wh.", ".wh..wh..opq", ".wh..wh."
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, igzip_lib.IsalError, ValueError)


@dataclass(frozen=True)
class Entry:
    """What a path is: ``kind`` is one of the names above, ``mode`` the permission bits, ``size``
    in bytes, ``sha256`` in hexadecimal digits (of files), ``target`` where a link points."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ""
    target: str = ""


@dataclass(frozen=True)
class LayerFiles:
    """``entries`` by path without a leading ``/``. ``hidden`` are paths of lower layers that are
    gone; with a ``/`` at the end, only what lies below. ``bodies`` has the files asked for."""

    entries: dict[str, Entry]
    hidden: tuple[str, ...] = ()
    bodies: dict[str, bytes] = field(default_factory=dict)


def read_layer(
    layer: Layer,
    what: str,
    progress: Progress,
    *,
    keep: Collection[str] = (),
    most: int = MAX_ENTRIES,
) -> LayerFiles:
    """Read all of ``layer``; the bytes of the small files named in ``keep`` are kept.

    Raises RegistryError for what is no tar, or too much (``most`` entries), DigestError for other
    bytes than its diff_id names, and what the layer's stream raises.
    """
    task = progress.start(f"look into {what}", layer.descriptor.size)
    try:
        with layer.open() as source:
            plain = _Plain(_decompressed(io.BufferedReader(_Counted(source, task), CHUNK), what))
            stream = io.BufferedReader(plain, CHUNK)
            try:
                found = _entries(stream, keep, most)
                while stream.read(CHUNK):
                    pass  # a tar may go on after its end; the digest is that of everything
            except _BROKEN as error:  # type: ignore[misc] # isal's is untyped
                raise RegistryError(
                    f"{what} cannot be read as a layer: {error}",
                    next_step="the image is damaged, or not made for engines: build it again",
                ) from None
    finally:
        task.done()
    if f"sha256:{plain.hash.hexdigest()}" != layer.diff_id:
        raise DigestError(
            f"{what}: the unpacked layer has digest sha256:{plain.hash.hexdigest()}, the image's "
            f"config says {layer.diff_id}",
            next_step="the image is damaged: push or build it again",
        )
    return found


class _Counted(io.RawIOBase):
    def __init__(self, source: IO[bytes], task: Task) -> None:
        super().__init__()
        self._source, self._task = source, task

    def readable(self) -> bool:
        return True

    # Any writable buffer, which typing cannot name for Python 3.11.
    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        view[: len(data)] = data
        self._task.advance(len(data))
        return len(data)


class _Plain(io.RawIOBase):
    """The uncompressed tar: hashed, and not endless."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source, self._count = source, 0
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    # Any writable buffer, which typing cannot name for Python 3.11.
    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        view[: len(data)] = data
        self.hash.update(data)
        self._count += len(data)
        if self._count > _MAX_UNPACKED_BYTES:
            raise tarfile.ReadError(f"it unpacks to more than {_MAX_UNPACKED_BYTES} bytes")
        return len(data)


def _decompressed(blob: io.BufferedReader, what: str) -> IO[bytes]:
    """By what the bytes are: an archive does not say how its layers are compressed."""
    head = blob.peek(4)[:4]
    if head.startswith(_GZIP):
        return cast("IO[bytes]", igzip.open(blob, "rb"))  # type: ignore[no-untyped-call]
    if head == _ZSTD:
        raise RegistryError(
            f"{what} is compressed with zstd, which is not understood here",
            allowed="tar, plain or compressed with gzip",
        )
    return blob


def _entries(stream: IO[bytes], keep: Collection[str], most: int) -> LayerFiles:
    entries: dict[str, Entry] = {}
    hidden: list[str] = []
    bodies: dict[str, bytes] = {}
    for member, data in _members(stream):
        if len(entries) + len(hidden) >= most:
            raise tarfile.ReadError(f"more than {MAX_ENTRIES} entries in one image")
        path = posixpath.normpath("/" + member.name).lstrip("/")
        if len(path) > _MAX_PATH:
            raise tarfile.ReadError(f"a path of {len(path)} characters")
        folder, _, last = path.rpartition("/")
        if last == _OPAQUE:
            hidden.append(f"{folder}/")
        elif last.startswith(_WHITEOUT):
            if not last.startswith(_META):
                hidden.append(posixpath.join(folder, last.removeprefix(_WHITEOUT)))
        else:
            body = data.read() if data and path in keep and member.size <= MAX_BODY_BYTES else None
            bodies |= {path: body} if body is not None else {}
            entries[path] = _entry(member, io.BytesIO(body) if body is not None else data)
    return LayerFiles(entries, tuple(hidden), bodies)


def _members(stream: IO[bytes]) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    with tarfile.open(
        fileobj=stream, mode="r|", errors="surrogateescape", tarinfo=CarefulTarInfo
    ) as archive:
        for member in archive:
            yield member, archive.extractfile(member) if member.isreg() else None
            # The archive keeps every header it has read; a large layer has very many.
            archive.members = []  # type: ignore[attr-defined] # typed as read only


def _entry(member: tarfile.TarInfo, data: IO[bytes] | None) -> Entry:
    owner = (member.mode & 0o7777, member.uid, member.gid)
    if data is not None:
        found = hashlib.sha256()
        while chunk := data.read(CHUNK):
            found.update(chunk)
        return Entry(FILE, *owner, member.size, found.hexdigest())
    if member.isdir():
        return Entry(FOLDER, *owner)
    if member.issym() or member.islnk():
        kind = LINK if member.issym() else HARD_LINK
        return Entry(kind, *owner, target=member.linkname[:_MAX_PATH])
    return Entry(OTHER, *owner)
