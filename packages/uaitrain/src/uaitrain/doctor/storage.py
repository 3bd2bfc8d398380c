"""Room for base images and known layers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from uaitrain.doctor.verdict import BASE_BUILD, PACK, PUSH, State, Surroundings, Verdict
from uaitrain.paths import cache_dir

NEEDED_BYTES = 3_000_000_000
"""What building the Caffe base takes at its peak: its files, its tar and its blob."""


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    folder = cache_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Verdict(
            "cache",
            State.MISSING,
            f"the cache folder {folder} cannot be written",
            f"make {existing} writable, or set UAITRAIN_CACHE to a folder of yours",
            (PACK, BASE_BUILD, PUSH),
        )
        return
    yield _room(folder, existing)


def _room(folder: Path, existing: Path) -> Verdict:
    free = shutil.disk_usage(existing).free
    if free < NEEDED_BYTES:
        return Verdict(
            "disk",
            State.MISSING,
            f"{free / 1e9:.1f} GB are free for the cache in {folder}",
            f"make room for {NEEDED_BYTES / 1e9:.0f} GB there, or set UAITRAIN_CACHE elsewhere",
            (BASE_BUILD,),
        )
    return Verdict("disk", State.PRESENT, f"{free / 1e9:.0f} GB are free for the cache in {folder}")
