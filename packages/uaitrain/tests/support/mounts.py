"""Real file systems with a fault: too small, read-only, or with times of whole seconds.

Mounting takes root, or a sudo that asks for nothing; without either a test fails and says so.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _as_root(*words: str) -> None:
    before = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    done = subprocess.run(
        [*before, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@contextmanager
def _mounted(folder: Path, *words: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    _as_root("mount", *words, str(folder))
    try:
        yield folder
    finally:
        _as_root("umount", "--lazy", str(folder))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """``folder`` in memory, with room for ``size`` (as tmpfs takes it) and no more."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={size},mode=1777", "small") as made:
        yield made


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """What lies in ``folder`` can be read and not written, by root neither."""
    _as_root("mount", "--bind", str(folder), str(folder))
    try:
        _as_root("mount", "-o", "remount,bind,ro", str(folder))
        yield folder
    finally:
        _as_root("umount", "--lazy", str(folder))


@contextmanager
def whole_seconds(folder: Path, image: Path) -> Iterator[Path]:
    """ext4 with inodes of 128 bytes, where nothing but whole seconds fits for a time."""
    with image.open("wb") as file:
        file.truncate(16 << 20)
    _as_root("mkfs.ext4", "-q", "-F", "-I", "128", "-O", "^has_journal", str(image))
    with _mounted(folder, "-o", "loop", str(image)) as made:
        _as_root("chmod", "1777", str(made))
        yield made
