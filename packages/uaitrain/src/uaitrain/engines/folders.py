"""Folders and files on this machine that belong to the person, also when root makes them."""

from __future__ import annotations

import os
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.engines.facts import LocalFacts
from uaitrain.errors import StorageError


def make_folder(folder: Path, facts: LocalFacts) -> None:
    """Make ``folder`` and what is missing above it, owned by the person. Raises StorageError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            give(path, facts)
    except OSError as error:
        raise storage_error(error, folder, "make the output folder") from None
    if not folder.is_dir():
        raise StorageError(f"the output folder is not a folder: {folder}")


def give(path: Path, facts: LocalFacts) -> None:
    """Make ``path`` the person's, where root made it. Raises OSError."""
    if os.geteuid() == 0 and facts.uid:
        os.chown(path, facts.uid, facts.gid)
