"""The launcher as the one file that goes into every image: ``container/launch/``, zipped.

``launch.pyz`` is a zip that the image's own Python runs. The same sources give the same bytes,
so its layer is the same for all jobs and bases.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.files.plan import LayerPlan, plan_given
from uaitrain.files.stored_zip import stored
from uaitrain.frameworks import stock
from uaitrain.sha256 import sha256
from uaitrain.spec import PYTHON

FILE = "launch.pyz"
FOLDER = "opt/uaitrain"
"""Where it lies in an image."""

ENTRY_POINT = (PYTHON, f"/{FOLDER}/{FILE}")
"""What every image starts with; what a container is told to execute becomes its arguments."""

LAYER = "launcher"

_CONTAINER = Path(__file__).parent.parent / "container"


def source() -> str:
    """What the file is made of, as a text that changes with it. Raises StorageError."""
    key = sha256()
    for name, data in _sources().items():
        key.update(b"%d %s %d " % (len(name), name.encode(), len(data)) + data)
    return key.hexdigest()


def plan() -> LayerPlan:
    """The layer with the file alone. Raises StorageError."""
    return plan_given(LAYER, FOLDER, FILE, archive())


@cache
def archive() -> bytes:
    """``launch.pyz``. Raises StorageError."""
    # Stored, so that no version of zlib has a say in the bytes; the layer is compressed.
    return stored(_sources())


@cache
def _sources() -> Mapping[str, bytes]:
    """What the zip holds, by its names. What ``train.py`` knows of snapshots is used there too."""
    paths = [*sorted((_CONTAINER / "launch").glob("*.py")), _CONTAINER / stock.NAME]
    try:
        return {path.name: path.read_bytes() for path in paths}
    except OSError as error:
        raise storage_error(error, _CONTAINER, "read") from None
