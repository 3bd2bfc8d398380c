"""Unpacked images in a folder that several machines see: each once, by its digest.

    <folder>/<64 hexadecimal digits>/rootfs        the image's files
                                    /entrypoint    what always starts
                                    /command       what it is told when nothing else is
                                    /environment   NAME=value
                                    /workdir       where the command starts
    <folder>/.<digits>.lock                        held while somebody unpacks

The three small files are what a shell script reads of the image's config: words that each end
with a NUL byte. A bundle appears by one rename, after every layer proved right.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uaitrain.atomic import storage_error
from uaitrain.bundles.apply import apply
from uaitrain.bundles.tree import Tree
from uaitrain.errors import RegistryError
from uaitrain.oci.digest import Digest, hex_part
from uaitrain.oci.image import Image
from uaitrain.progress import Progress
from uaitrain.values import dataclass

ROOTFS = "rootfs"
ENTRYPOINT, COMMAND, ENVIRONMENT, WORKDIR = "entrypoint", "command", "environment", "workdir"

_POINTS = ("data/data", "data/output", "dev", "proc", "sys", "tmp", "run/uaitrain", "var/tmp")
"""Where something is mounted in every run; a read-only root cannot grow them later."""
_FILES = ("etc/hosts", "etc/resolv.conf")
"""What a run gets of its machine; empty here."""


@dataclass(frozen=True)
class Bundles:
    """The bundles in ``folder``, which is made when it is first needed."""

    folder: Path

    def path(self, digest: Digest) -> Path:
        """Where the image with the manifest ``digest`` lies, or would."""
        return self.folder / hex_part(digest)

    def has(self, digest: Digest) -> bool:
        return self.path(digest).is_dir()

    def unpack(self, image: Image, digest: Digest, name: str, progress: Progress) -> Path:
        """The bundle of ``image``, unpacked unless it is there. ``name`` is for messages.

        ``digest`` is that of the manifest as its place has it. Who comes second waits for the
        first and takes what it made. Raises RegistryError, DigestError, StorageError; then there
        is no bundle, and what was unpacked is gone again.
        """
        final = self.path(digest)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._lock(digest) as alone:
                if not final.is_dir():
                    self._make(image, digest, name, progress, alone)
        except OSError as error:
            raise storage_error(error, final) from None
        return final

    def _make(
        self, image: Image, digest: Digest, name: str, progress: Progress, alone: bool
    ) -> None:
        pattern = f".{hex_part(digest)}.*.part"
        if alone:
            for left in self.folder.glob(pattern):
                shutil.rmtree(left)
        part = self.folder / pattern.replace("*", secrets.token_hex(4))
        try:
            _fill(part, image, name, progress)
            part.rename(self.path(digest))
        except OSError:
            # Only where nothing can be locked: somebody else was quicker.
            if not self.has(digest):
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @contextlib.contextmanager
    def _lock(self, digest: Digest) -> Iterator[bool]:
        """Whether nobody else is at it; False on a file system that locks nothing."""
        with (self.folder / f".{hex_part(digest)}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                    raise
                yield False
            else:
                yield True


def _fill(part: Path, image: Image, name: str, progress: Progress) -> None:
    root = part / ROOTFS
    part.mkdir()
    root.mkdir(mode=0o755)
    for number, layer in enumerate(image.layers, 1):
        what = f"{name}, layer {number} of {len(image.layers)}"
        task = progress.start(
            f"unpack {number}/{len(image.layers)} of {name}", layer.descriptor.size
        )
        apply(layer, Tree(root, what), task)
        task.done()
    _add_mount_points(Tree(root, name))
    for file, words in _config_words(image, name).items():
        (part / file).write_bytes(b"".join(os.fsencode(word) + b"\0" for word in words))


def _add_mount_points(tree: Tree) -> None:
    for point in _POINTS:
        # The place of something in it: so the folder itself is made, links to it followed.
        tree.place((*tree.inside(point), "anything"))
    for file in _FILES:
        path = tree.place(tree.inside(file))
        if path.is_symlink() or not path.exists():
            path.unlink(missing_ok=True)
            path.touch(mode=0o644)


def _config_words(image: Image, name: str) -> dict[str, list[str]]:
    """What the image's config says of its start (OCI image-spec, config.md). Raises
    RegistryError for words that no program can be started with."""
    inner: dict[str, Any] = image.config.get("config") or {}
    words = {
        ENTRYPOINT: inner.get("Entrypoint") or [],
        COMMAND: inner.get("Cmd") or [],
        ENVIRONMENT: inner.get("Env") or [],
        WORKDIR: [inner.get("WorkingDir") or "/"],
    }
    for key, values in words.items():
        if not isinstance(values, list) or not all(
            isinstance(value, str) and "\0" not in value for value in values
        ):
            raise RegistryError(f"{name}: the image's config has a broken {key}: {values!r}")
    return words
