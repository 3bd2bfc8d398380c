"""One image layer applied to a tree (OCI image-spec, layer.md), verified while it is read."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, cast

from isal import igzip, igzip_lib

from uaitrain.bundles.tree import Tree, remove
from uaitrain.errors import DigestError, RegistryError
from uaitrain.oci.blob import CHUNK, Verifier
from uaitrain.oci.careful_tar import CarefulTarInfo
from uaitrain.oci.layer import Layer
from uaitrain.progress import Task

_BROKEN = (
    *(tarfile.TarError, EOFError, igzip.BadGzipFile, igzip_lib.IsalError),
    # Times, modes and names that no file can have.
    *(OverflowError, ValueError),
)
_WHITEOUT, _OPAQUE, _META = ".wh.", ".wh..wh..opq", ".wh..wh."


class _Passing(io.RawIOBase):
    """Reads ``source`` and shows what was read to ``verifier`` and ``told``."""

    def __init__(self, source: IO[bytes], told: Callable[[int], None]) -> None:
        super().__init__()
        self._source, self._told = source, told
        self.verifier = Verifier()

    def readable(self) -> bool:
        return True

    # Any writable buffer, which typing cannot name for Python 3.11.
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        data = self._source.read(len(view))
        view[: len(data)] = data
        self.verifier.write(data)
        self._told(len(data))
        return len(data)


def apply(layer: Layer, tree: Tree, task: Task) -> None:
    """Change ``tree`` as ``layer`` says. ``task`` advances by the blob's bytes.

    Devices are left out, as containers get their own; owners and extended attributes are not
    taken over. Raises RegistryError for an archive that is broken or leaves the image,
    DigestError for other bytes than the layer's, OSError of the disk. The tree is of use only
    when this returns.
    """
    with layer.open() as source:
        blob = _Passing(source, task.advance)
        plain = _Passing(_decompressed(layer, io.BufferedReader(blob, CHUNK), tree), lambda _: None)
        stream = io.BufferedReader(plain, CHUNK)
        try:
            _apply_entries(stream, tree)
            # A tar may go on after its end; the digests are those of everything.
            while stream.read(CHUNK) or blob.read(CHUNK):
                pass
        except _BROKEN as error:  # type: ignore[misc] # isal's is untyped
            raise RegistryError(
                f"{tree.what}: the layer is no whole tar: {error}",
                next_step="the image is damaged: push or build it again",
            ) from None
    blob.verifier.check(layer.descriptor, tree.what)
    if plain.verifier.digest != layer.diff_id:
        raise DigestError(
            f"{tree.what}: the unpacked layer has digest {plain.verifier.digest}, "
            f"the image's config says {layer.diff_id}",
            next_step="the image is damaged: push or build it again",
        )


def _decompressed(layer: Layer, blob: BinaryIO, tree: Tree) -> IO[bytes]:
    media_type = layer.descriptor.media_type
    if media_type.endswith(("+gzip", ".gzip")):
        return cast("IO[bytes]", igzip.open(blob, "rb"))  # type: ignore[no-untyped-call]
    if media_type.endswith(".tar"):
        return blob
    raise RegistryError(
        f"{tree.what}: layers of type {media_type!r} are not understood here",
        allowed="tar, plain or compressed with gzip",
        next_step="build the image with gzip layers",
    )


def _apply_entries(stream: BinaryIO, tree: Tree) -> None:
    mine: set[Path] = set()
    with tarfile.open(
        fileobj=stream, mode="r|", errors="surrogateescape", tarinfo=CarefulTarInfo
    ) as archive:
        for member in archive:
            parts = tree.inside(member.name)
            if parts and parts[-1].startswith(_WHITEOUT):
                _whiteout(tree, parts, mine)
                continue
            path = tree.place(parts)
            if _put(archive, member, tree, path):
                mine.add(path)
            # The archive keeps every header it has read; a large layer has very many.
            archive.members = []  # type: ignore[attr-defined] # typed as read only


def _whiteout(tree: Tree, parts: tuple[str, ...], mine: set[Path]) -> None:
    """What a lower layer brought goes; what this one brought stays, in whatever order."""
    if parts[-1] == _OPAQUE:
        tree.empty(parts[:-1], mine.__contains__)
    elif not parts[-1].startswith(_META):
        hidden = (*parts[:-1], parts[-1].removeprefix(_WHITEOUT))
        tree.inside("/".join(hidden))
        if hidden[-1] in ("", "."):
            raise RegistryError(
                f"{tree.what}: a whiteout that names nothing: {'/'.join(parts)[:200]!r}",
                allowed=".wh. and the name of a file",
                next_step="the image is damaged: push or build it again",
            )
        path = tree.place(hidden)
        if path not in mine and path != tree.root:
            remove(path)


def _put(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree, path: Path) -> bool:
    """Whether the entry is something that is unpacked."""
    if path == tree.root and not member.isdir():
        raise RegistryError(f"{tree.what}: the image's root is no folder")
    if member.isdir():
        tree.folder(path, member.mode)
    elif member.issym():
        tree.symlink(path, member.linkname)
    elif member.islnk():
        tree.hard_link(path, member.linkname)
    elif member.isfifo():
        tree.pipe(path, member.mode)
    elif member.isreg():
        data = archive.extractfile(member)
        assert data is not None
        tree.file(path, member, data)
    else:
        return False
    return True
