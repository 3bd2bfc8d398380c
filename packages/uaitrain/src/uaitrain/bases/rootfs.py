"""From the tar of a Debian tree to an image layer of which every byte is decided here.

Same package versions, same bytes: entries are sorted, times fixed, and what a build leaves
behind by accident (logs, caches, backups, this machine's name) is left out.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO

from isal import isal_zlib

from uaitrain.atomic import storage_error
from uaitrain.bases.recipe import EPOCH, Recipe
from uaitrain.errors import BaseError
from uaitrain.oci.blob import CHUNK, Verifier
from uaitrain.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import Digest
from uaitrain.oci.layer import BlobLayer
from uaitrain.progress import Task
from uaitrain.values import dataclass

LEVEL = 2
"""ISA-L's second of four levels; docs/decisions/0003 has the measurements."""

_GZIP = 31
_END = 2 * tarfile.BLOCKSIZE
_STATUS = "var/lib/dpkg/status"
_LEFTOVERS = (
    "dev/*",
    "proc/*",
    "run/*",
    "sys/*",
    "tmp/*",
    "etc/.pwd.lock",
    "etc/*-",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/hostname",
    "etc/resolv.conf",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/cache/fontconfig/*",
    "var/cache/ldconfig/*",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/systemd/*",
    "var/log/*",
    "var/tmp/*",
)
_CONTENTS: Mapping[str, bytes] = {
    "etc/machine-id": b"",
    "etc/apt/sources.list": b"# No package source: add your Debian mirror here.\n",
}


@dataclass(frozen=True)
class Contents:
    """What is in the tree: Debian packages with versions, and the version of ``usr/bin/python``."""

    packages: Mapping[str, str]
    python: str

    @property
    def digest(self) -> Digest:
        lines = "".join(f"{name}={version}\n" for name, version in sorted(self.packages.items()))
        return Digest("sha256:" + hashlib.sha256(lines.encode()).hexdigest())


def write_layer(tree: Path, recipe: Recipe, target: Path, task: Task) -> tuple[BlobLayer, Contents]:
    """Turn the tar ``tree`` into the gzipped layer ``target``.

    ``task`` advances by the bytes read. Raises BaseError for a tar that is broken or has no
    package list, StorageError when the disk fails.
    """
    try:
        _check_end(tree)
        with tarfile.open(tree, "r:") as source, target.open("wb") as file:
            members = {_plain(m.name): m for m in source if _plain(m.name)}
            packing = Packing(file)
            names = selected(members, recipe)
            for info, data in _entries(source, members, names, recipe.links):
                packing.add(info, data)
                task.advance(info.size)
            descriptor, diff_id = packing.finish()
            contents = _contents(source, members, recipe)
    except tarfile.TarError as error:
        raise BaseError(f"base {recipe.name}: the tree's archive is broken: {error}") from None
    except OSError as error:
        raise storage_error(error, target) from None
    return BlobLayer(diff_id, descriptor, lambda: target.open("rb")), contents


def write_files(
    root: Path, names: Iterable[str], there: Container[str], target: Path, task: Task
) -> BlobLayer:
    """The gzipped layer ``target`` of the files ``names`` below ``root``, owned by root.

    Their folders come with them, except those that are ``there`` in a lower layer.
    """
    try:
        with target.open("wb") as file:
            packing = Packing(file)
            for name in _with_folders(names, there):
                path = root / name
                if path.is_dir():
                    packing.add(_plain_entry(name, tarfile.DIRTYPE, 0o755), None)
                    continue
                info = _plain_entry(name, tarfile.REGTYPE, path.stat().st_mode & 0o777)
                info.size = path.stat().st_size
                with path.open("rb") as data:
                    packing.add(info, data)
                task.advance(info.size)
            descriptor, diff_id = packing.finish()
    except OSError as error:
        raise storage_error(error, target) from None
    return BlobLayer(diff_id, descriptor, lambda: target.open("rb"))


def write_part(
    tree: Path, names: Iterable[str], gone: Iterable[str], target: Path, task: Task
) -> BlobLayer:
    """The gzipped layer ``target`` of the entries ``names`` of the tar ``tree``, with the folders
    above them as they are there; ``gone`` are paths of lower layers that are there no more.

    Raises BaseError for a broken tar, StorageError when the disk fails.
    """
    try:
        _check_end(tree)
        with tarfile.open(tree, "r:") as source, target.open("wb") as file:
            members = {_plain(m.name): m for m in source if _plain(m.name)}
            kept = {name for name in names if name in members}
            every = sorted(kept.union(*map(_above, [*kept, *gone])) & set(members), key=str.encode)
            packing = Packing(file)
            for info, data in _entries(source, members, every, {}):
                packing.add(info, data)
                task.advance(info.size)
            for name in sorted(gone, key=str.encode):
                folder, _, last = name.rpartition("/")
                # A whiteout (OCI image-spec, layer.md).
                hidden = f"{folder}/.wh.{last}" if folder else f".wh.{last}"
                packing.add(_plain_entry(hidden, tarfile.REGTYPE, 0o644), None)
            descriptor, diff_id = packing.finish()
    except tarfile.TarError as error:
        raise BaseError(f"the container's archive is broken: {error}") from None
    except OSError as error:
        raise storage_error(error, target) from None
    return BlobLayer(diff_id, descriptor, lambda: target.open("rb"))


def leftover(name: str) -> bool:
    """Whether a path is what building leaves behind by accident."""
    return bool(_pattern(_LEFTOVERS).match(name))


def _above(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def _with_folders(names: Iterable[str], there: Container[str]) -> list[str]:
    every = set(names)
    for name in list(every):
        parent = name.rpartition("/")[0]
        while parent and parent not in every and parent not in there:
            every.add(parent)
            parent = parent.rpartition("/")[0]
    return sorted(every, key=str.encode)


def _plain_entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    return info


def _check_end(tree: Path) -> None:
    """tarfile takes an archive that is cut off between two entries for a whole one."""
    with tree.open("rb") as file:
        file.seek(-min(_END, tree.stat().st_size), os.SEEK_END)
        if file.read() != bytes(_END):
            raise tarfile.ReadError("it ends before its end")


class Packing:
    """A layer in the making: a tar, hashed, compressed, hashed again and stored, all at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._tar = Verifier()
        self._blob = Verifier(file)
        self._gzip = isal_zlib.compressobj(LEVEL, wbits=_GZIP)

    def add(self, info: tarfile.TarInfo, data: IO[bytes] | None) -> None:
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if data is not None:
            while chunk := data.read(CHUNK):
                self._write(chunk)
            self._write(bytes(-info.size % tarfile.BLOCKSIZE))

    def _write(self, data: bytes) -> None:
        self._tar.write(data)
        self._blob.write(self._gzip.compress(data))

    def finish(self) -> tuple[Descriptor, Digest]:
        self._write(bytes(_END))
        self._blob.write(self._gzip.flush())
        return Descriptor(OCI_LAYER_GZIP, self._blob.digest, self._blob.size), self._tar.digest


def _plain(name: str) -> str:
    return "" if name == "." else name.removeprefix("./").strip("/")


def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


def stays(recipe: Recipe) -> Callable[[str], bool]:
    """Tells of a path whether it belongs into the base."""
    drop, keep = _pattern((*_LEFTOVERS, *recipe.drop)), _pattern(recipe.keep)
    return lambda name: bool(keep.match(name)) or not drop.match(name)


def selected(names: Mapping[str, object], recipe: Recipe) -> list[str]:
    """The names that stay, sorted; a folder stays when something in it does."""
    kept = set(filter(stays(recipe), names))
    for name in list(kept):
        parent = name.rpartition("/")[0]
        while parent in names and parent not in kept:
            kept.add(parent)
            parent = parent.rpartition("/")[0]
    return sorted(kept | set(recipe.links), key=str.encode)


def _entries(
    source: tarfile.TarFile,
    members: Mapping[str, tarfile.TarInfo],
    names: Iterable[str],
    links: Mapping[str, str],
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    first_name: dict[str, str] = {}
    for name in names:
        if name in links:
            yield _symlink(name, links[name]), None
            continue
        member = members[name]
        if not (member.isreg() or member.islnk()):
            yield _fixed(member, name), None
            continue
        inode = _plain(member.linkname) if member.islnk() else name
        if inode in first_name:
            link = _fixed(member, name)
            link.type, link.linkname, link.size = tarfile.LNKTYPE, first_name[inode], 0
            yield link, None
            continue
        first_name[inode] = name
        data = source.extractfile(members[inode])
        info = _fixed(members[inode], name)
        if name in _CONTENTS:
            data = io.BytesIO(_CONTENTS[name])
            info.size = len(_CONTENTS[name])
        yield info, data


def _fixed(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = member.type, member.linkname, member.mode
    info.size = member.size if member.isreg() else 0
    info.uid, info.gid, info.mtime = member.uid, member.gid, EPOCH
    return info


def _symlink(name: str, target: str) -> tarfile.TarInfo:
    info = _plain_entry(name, tarfile.SYMTYPE, 0o777)
    info.linkname = target
    return info


def _contents(
    source: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], recipe: Recipe
) -> Contents:
    status = source.extractfile(members[_STATUS]) if _STATUS in members else None
    if status is None:
        raise BaseError(f"base {recipe.name}: the built tree has no {_STATUS}")
    packages: dict[str, str] = {}
    for paragraph in status.read().decode("utf-8", "replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture): (.*)$", paragraph, re.M))
        if "Package" in fields:
            packages[f"{fields['Package']}:{fields['Architecture']}"] = fields["Version"]
    return Contents(packages, _python(members, recipe, packages))


def _python(
    members: Mapping[str, tarfile.TarInfo], recipe: Recipe, packages: Mapping[str, str]
) -> str:
    """The upstream version of the interpreter behind ``usr/bin/python``; empty without one."""
    name = "usr/bin/python"
    for _ in range(8):
        target = recipe.links.get(name)
        if target is None and name in members and members[name].issym():
            target = members[name].linkname
        if target is None:
            break
        name = target.lstrip("/") if target.startswith("/") else f"usr/bin/{target}"
    program = name.rpartition("/")[2]
    version = packages.get(f"{program}-minimal:{recipe.architecture}", "")
    return re.sub(r"^[0-9]+:|[-+~].*$", "", version) if name in members else ""
