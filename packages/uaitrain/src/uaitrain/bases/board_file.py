"""TensorBoard's sidecar as the one file that goes into images: ours, with its writer from PyPI.

``board.pyz`` is a zip that Python runs: ``container/board.py`` and the wheels of
``recipes/board.lock``, which names one version and one digest of each. The wheels hold Python
alone, so one file serves every image. The same source and wheels give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from uaitrain import atomic
from uaitrain.atomic import storage_error
from uaitrain.errors import BaseError
from uaitrain.files import kept
from uaitrain.paths import cache_dir
from uaitrain.progress import Progress
from uaitrain.sha256 import sha256
from uaitrain.spec import BOARD_OFF, BOARD_ON

FILE = "board.pyz"
FOLDER = "opt/uaitrain"
"""Where it lies in an image."""

LAYER = "TensorBoard's writer"

OLDEST_PYTHON = (3, 9)
"""What the wheels ask for."""

NOT_HERE = (
    "runs will write no TensorBoard files: their writer was never fetched to this machine "
    "(uaitrain base build fetches it, and so does --board on)"
)

_LOCK = Path(__file__).with_name("recipes") / "board.lock"
_SOURCE = Path(__file__).parent.parent / "container" / "board.py"
_WAY = b"1"
"""Counts the changes in how the file is put together."""

_LEFT_OUT = r".*\.(proto|pyi|typed)|.*\.dist-info/(RECORD|WHEEL|METADATA|top_level\.txt)"
_TIME = (1980, 1, 1, 0, 0, 0)


def archive() -> Path | None:
    """The folder that holds ``board.pyz`` alone; made from the kept wheels, None without them.

    Raises StorageError.
    """
    folder = _cache() / _key()
    if kept.is_whole(folder, (FILE,)):
        return folder
    wheels = _kept()
    return _make(wheels, folder) if wheels else None


def fetch(progress: Progress) -> Path:
    """The same, after pip has brought the wheels that are missing. Raises BaseError, StorageError.

    Each is held against its digest.
    """
    import shutil

    from uaitrain.bases import wheels

    if found := archive():
        return found
    part = _cache() / "part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        task = progress.start("downloading TensorBoard's writer")
        wheels.pure(_LOCK, part, _cache() / "pip.log")
        task.done()
        for wheel in part.glob("*.whl"):
            wheel.replace(_cache() / wheel.name)
    except OSError as error:
        raise storage_error(error, part) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    found = archive()
    if found is None:
        raise BaseError(
            "pip brought other wheels of TensorBoard's writer than the listed ones",
            next_step="look at where pip finds its packages: pip config list",
        )
    return found


def choose(
    choice: str, pythons: Iterable[str], progress: Progress, note: Callable[[str], None]
) -> Path | None:
    """The folder for a job that says ``choice``, on bases with ``pythons`` (empty: not known).

    None where it is off, where no base has a Python that runs it, and, unless it is on, where it
    was never fetched: packing needs no network. Raises BaseError, StorageError.
    """
    if choice == BOARD_OFF or all(_too_old(python) for python in pythons):
        return None
    if choice == BOARD_ON:
        return fetch(progress)
    found = archive()
    if found is None:
        note(NOT_HERE)
    return found


def _too_old(python: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", python)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST_PYTHON


def _cache() -> Path:
    return cache_dir() / "board"


def _key() -> str:
    """Changes with everything that the file is made of."""
    try:
        parts = (_WAY, _LOCK.read_bytes(), _SOURCE.read_bytes())
    except OSError as error:
        raise storage_error(error, _LOCK.parent.parent, "read") from None
    return sha256(b"\0".join(parts)).hexdigest()[:16]


def _kept() -> Mapping[str, bytes]:
    """The listed wheels by name, each verified; empty unless all are here."""
    wanted = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", _LOCK.read_text("utf-8")))
    found: dict[str, bytes] = {}
    for wheel in sorted(_cache().glob("*.whl")):
        data = wheel.read_bytes()
        digest = sha256(data).hexdigest()
        if digest in wanted:
            wanted.remove(digest)
            found[wheel.name] = data
    return {} if wanted else found


def _make(wheels: Mapping[str, bytes], folder: Path) -> Path:
    import zipfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from None
    with atomic.appearing(folder / FILE) as file, zipfile.ZipFile(file, "w") as made:
        for name, data in _members(wheels):
            # Stored, so that no version of zlib has a say in the bytes; the layer is compressed.
            made.writestr(zipfile.ZipInfo(name, _TIME), data)
    kept.note(folder, (FILE,))
    return folder


def _members(wheels: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    import io
    import zipfile

    yield "__main__.py", _SOURCE.read_bytes()
    # With it, Python finds our protobuf also where Debian's has a package of this name.
    yield "google/__init__.py", b""
    for data in wheels.values():
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            for name in sorted(wheel.namelist()):
                if not name.endswith("/") and not re.fullmatch(_LEFT_OUT, name):
                    yield name, wheel.read(name)
