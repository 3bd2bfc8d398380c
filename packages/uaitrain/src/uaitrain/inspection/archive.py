"""An image in the tar that ``docker save`` or ``podman save`` writes, read in place.

Format: ``manifest.json`` of docker-archive (moby, image/tarexport): for each image a config and a
list of layers, all of them members of the tar.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
import tarfile
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from uaitrain.atomic import storage_error
from uaitrain.errors import RegistryError, StorageError
from uaitrain.oci.careful_tar import CarefulTarInfo
from uaitrain.oci.descriptor import MAX_MANIFEST_BYTES, OCI_LAYER, Descriptor
from uaitrain.oci.digest import Digest, digest_of, verify
from uaitrain.oci.image import Image, parse_config
from uaitrain.oci.layer import BlobLayer

_MAX_MEMBERS = 10_000
_MAX_LINKS = 8
_NAMED = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?\Z")
"""Names that give a config's digest: of both the old and the new form of ``docker save``."""


def read_archive(path: Path) -> tuple[Image, Digest]:
    """The one image in it, and its config's digest, by which engines know it.

    Raises StorageError for a file that cannot be read, RegistryError for what is no such archive.
    """
    try:
        with tarfile.open(path, "r:", tarinfo=CarefulTarInfo) as archive:
            members = _members(archive)
            return _image(path, archive, members)
    except tarfile.TarError as error:
        raise RegistryError(
            f"{path} is no whole tar: {error}", allowed="what docker save or podman save writes"
        ) from None
    except OSError as error:
        raise storage_error(error, path, "read") from None


def _members(archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        found[posixpath.normpath(member.name)] = member
        if len(found) > _MAX_MEMBERS:
            raise tarfile.ReadError(f"more than {_MAX_MEMBERS} members")
    return found


def _image(
    path: Path, archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo]
) -> tuple[Image, Digest]:
    try:
        listed = json.loads(_document(path, archive, members, "manifest.json"))
        names = [str(name) for each in listed for name in each.get("RepoTags") or []]
        if len(listed) != 1:
            raise RegistryError(
                f"{path} holds {len(listed)} images: {', '.join(names)[:300]}",
                allowed="an archive of one image",
            )
        config_name, layer_names = str(listed[0]["Config"]), [str(n) for n in listed[0]["Layers"]]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise RegistryError(f"{path}: its manifest.json is broken") from None
    raw = _document(path, archive, members, config_name)
    digest = digest_of(raw)
    if named := _NAMED.match(config_name):
        verify(Digest(f"sha256:{named[1]}"), digest, f"{path}: its config")
    config, diff_ids = parse_config(raw, len(layer_names))
    layers = []
    for diff_id, name in zip(diff_ids, layer_names, strict=True):
        member = _member(path, members, name)
        # The blob's own digest is not told everywhere; what a layer unpacks to is verified.
        blob = Descriptor(OCI_LAYER, diff_id, member.size)
        opener = partial(_open, path, member.offset_data, member.size)
        layers.append(BlobLayer(diff_id, blob, opener))
    return Image(tuple(layers), config), digest


def _member(path: Path, members: dict[str, tarfile.TarInfo], name: str) -> tarfile.TarInfo:
    """Old archives hold a layer that lies in two images once, and a link."""
    wanted = posixpath.normpath(name)
    for _ in range(_MAX_LINKS):
        member = members.get(wanted)
        if member is None:
            break
        if member.isreg():
            return member
        if not member.issym() and not member.islnk():
            break
        folder = posixpath.dirname(wanted) if member.issym() else ""
        wanted = posixpath.normpath(posixpath.join(folder, member.linkname))
    raise RegistryError(
        f"{path} lacks {name[:200]!r}, which its manifest.json names",
        allowed="what docker save or podman save writes",
    )


def _document(
    path: Path, archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str
) -> bytes:
    member = _member(path, members, name)
    if member.size > MAX_MANIFEST_BYTES:
        raise RegistryError(
            f"{path}: {name[:200]!r} has {member.size} bytes",
            allowed=f"at most {MAX_MANIFEST_BYTES} bytes for a manifest or a config",
        )
    data = archive.extractfile(member)
    assert data is not None
    return data.read()


def _open(path: Path, offset: int, size: int) -> BinaryIO:
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise storage_error(error, path, "read") from None
    file.seek(offset)
    return cast(BinaryIO, _Slice(file, size, path))


class _Slice(io.RawIOBase):
    """``size`` bytes of ``file`` from where it stands."""

    def __init__(self, file: io.FileIO, size: int, path: Path) -> None:
        super().__init__()
        self._file, self._left, self._path = file, size, path

    def readable(self) -> bool:
        return True

    # Any writable buffer, which typing cannot name for Python 3.11.
    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: self._left]
        try:
            count = self._file.readinto(view) or 0
        except OSError as error:
            raise storage_error(error, self._path, "read") from None
        if self._left and view and not count:
            raise StorageError(f"{self._path} became shorter while it was read")
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
