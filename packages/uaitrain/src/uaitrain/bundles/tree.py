"""A root folder in the making: every path is judged against it before it is touched.

Whoever makes the tree is alone in it. So a path may be looked at first and used afterwards; what
has to be kept in check are the names, links and types that a foreign archive brings.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from uaitrain.errors import RegistryError
from uaitrain.oci.blob import CHUNK
from uaitrain.values import dataclass

MAX_DEPTH = 256
"""Folders in folders: more could neither be made nor removed without end."""

_MAX_LINKS = 40
"""As many symbolic links as Linux follows in one path (path_resolution(7))."""

_OWNER_FILE, _OWNER_FOLDER = 0o600, 0o700
_KEPT_BITS = 0o1777
"""Permissions and the sticky bit. Set-user-ID and set-group-ID go: in a folder that others may
read they would lend the unpacking user's identity to everybody."""


@dataclass(frozen=True)
class Tree:
    """What lies below ``root``; ``what`` names the archive in messages."""

    root: Path
    what: str

    def inside(self, name: str) -> tuple[str, ...]:
        """The components of an entry's name. Raises RegistryError for one that leaves the root."""
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if len(parts) > MAX_DEPTH:
            raise self._too_deep()
        if ".." in parts or "\0" in name:
            raise RegistryError(
                f"{self.what}: the entry {name[:200]!r} leaves the image",
                allowed="names below the image's root",
                next_step="no honest tool built this image; do not run it",
            )
        return parts

    def place(self, parts: tuple[str, ...]) -> Path:
        """The real path of an entry. Its folders are resolved, links in them as the container
        sees them, and made where they are missing; the last component is not followed."""
        if not parts:
            return self.root
        folder = self.resolve(parts[:-1])
        _make_folders(folder)
        return folder / parts[-1]

    def resolve(self, parts: tuple[str, ...]) -> Path:
        """A path without links; ``..`` in a link's target stops at the root."""
        waiting, real, followed = list(reversed(parts)), self.root, 0
        depth = 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                real = real if real == self.root else real.parent
                depth = max(0, depth - 1)
                continue
            path = real / part
            if not path.is_symlink():
                real = path
                depth += 1
                if depth > MAX_DEPTH:
                    raise self._too_deep()
                continue
            followed += 1
            if followed > _MAX_LINKS:
                raise RegistryError(f"{self.what}: links go round in a circle at {part!r}")
            target = str(path.readlink())
            if target.startswith("/"):
                real, depth = self.root, 0
            waiting += reversed(target.split("/"))
        return real

    def _too_deep(self) -> RegistryError:
        return RegistryError(
            f"{self.what}: an entry lies more than {MAX_DEPTH} folders deep",
            allowed=f"at most {MAX_DEPTH}",
            next_step="no honest tool built this image; do not run it",
        )

    def folder(self, path: Path, mode: int) -> None:
        if not _is_folder(path):
            remove(path)
            path.mkdir()
        path.chmod(mode & _KEPT_BITS | _OWNER_FOLDER)

    def file(self, path: Path, member: tarfile.TarInfo, data: IO[bytes]) -> None:
        remove(path)
        with path.open("xb") as file:
            shutil.copyfileobj(data, file, CHUNK)
        path.chmod(member.mode & _KEPT_BITS | _OWNER_FILE)
        # Python compares a module's time with what its compiled file remembers.
        os.utime(path, (member.mtime, member.mtime))

    def symlink(self, path: Path, target: str) -> None:
        """Whatever ``target`` is: a link is only followed inside the container."""
        remove(path)
        path.symlink_to(target)

    def hard_link(self, path: Path, target: str) -> None:
        """Raises RegistryError unless ``target`` is a file of the image."""
        source = self.place(self.inside(target))
        if not os.path.lexists(source) or _is_folder(source):
            raise RegistryError(
                f"{self.what}: the hard link {path.name!r} leads to {target[:200]!r}, "
                "which is no file of the image"
            )
        if path != source:
            remove(path)
            os.link(source, path, follow_symlinks=False)

    def pipe(self, path: Path, mode: int) -> None:
        remove(path)
        os.mkfifo(path, mode & _KEPT_BITS | _OWNER_FILE)

    def empty(self, parts: tuple[str, ...], keep: Callable[[Path], bool]) -> None:
        """Remove what is in a folder, except paths that ``keep`` names and what leads to them."""
        path = self.resolve(parts)
        if _is_folder(path):
            _empty(path, keep)


def remove(path: Path) -> None:
    """Whatever is at ``path``, if anything; a link itself and not what it leads to."""
    if _is_folder(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _empty(folder: Path, keep: Callable[[Path], bool]) -> bool:
    """Whether nothing was kept."""
    clean = True
    for path in list(folder.iterdir()):
        if _is_folder(path):
            if _empty(path, keep) and not keep(path):
                path.rmdir()
                continue
        elif not keep(path):
            path.unlink()
            continue
        clean = False
    return clean


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _make_folders(path: Path) -> None:
    if _is_folder(path):
        return
    _make_folders(path.parent)
    # A file in the place of a folder: the upper layer wins, as in every engine.
    remove(path)
    path.mkdir(mode=0o755)
