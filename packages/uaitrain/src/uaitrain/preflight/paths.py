"""Which file on this machine a path of the container means."""

from __future__ import annotations

import posixpath
from pathlib import Path

from uaitrain.spec import DATA_DIR, OUTPUT_DIR, WORK_DIR, TrainSpec
from uaitrain.values import dataclass

CODE = "code"
DATA = "data"
OUTPUT = "output"
IMAGE = "image"


@dataclass(frozen=True)
class Place:
    """``container`` is absolute and normalised; ``relative`` counts from the mount's root.

    ``side`` is :data:`CODE`, :data:`DATA`, :data:`OUTPUT` or :data:`IMAGE`; the last means
    inside the base image, which is not looked into: ``host`` is None.
    """

    side: str
    container: str
    relative: str
    host: Path | None


def fault(path: Path) -> str:
    """Why ``path`` cannot be reached (``No such file or directory`` …), or nothing."""
    try:
        path.stat()
    except OSError as failure:
        return failure.strerror or str(failure)
    except ValueError as failure:
        return str(failure)
    return ""


def is_folder(path: Path) -> bool:
    """Like ``is_dir``, and False where we may not look."""
    return not fault(path) and path.is_dir()


def resolve(spec: TrainSpec, path: str) -> Place:
    """Relative paths count from ``/data``; the mounts over ``/data`` win, as in the container."""
    container = "/" + posixpath.normpath(posixpath.join(WORK_DIR, path)).lstrip("/")
    mounts = (
        (OUTPUT_DIR, OUTPUT, spec.output),
        (DATA_DIR, DATA, spec.data),
        (WORK_DIR, CODE, spec.code),
    )
    for root, side, host in mounts:
        if container == root or container.startswith(root + "/"):
            relative = container[len(root) + 1 :]
            return Place(side, container, relative, host / relative)
    return Place(IMAGE, container, container.lstrip("/"), None)
