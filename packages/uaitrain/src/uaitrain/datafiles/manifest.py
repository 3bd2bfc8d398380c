"""What a folder of parts holds, as a value and as ``manifest.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from uaitrain.atomic import storage_error, write_bytes
from uaitrain.errors import SourceError

NAME = "manifest.json"
VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Part:
    """One part file; ``size`` is in bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DataFile:
    """One file of the data. ``path`` is relative to the data's root, with ``/``.

    ``sha256`` is of the whole file; ``mtime_ns`` is what merging gives back.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Manifest:
    """``name`` is the data's own name; ``folder`` tells a folder from a single file.

    ``folders`` are the relative paths of all folders in it, so that empty ones come back.
    """

    name: str
    folder: bool
    part_size: int
    files: tuple[DataFile, ...]
    folders: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for file in self.files for part in file.parts)


def write(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` in one step. Raises StorageError."""
    text = json.dumps({"version": VERSION, **asdict(manifest)}, indent=1, ensure_ascii=False)
    write_bytes(folder / NAME, text.encode() + b"\n")


def read(folder: Path) -> Manifest:
    """The manifest of a folder of parts. Raises SourceError or StorageError."""
    path = folder / NAME
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SourceError(
            f"no {NAME} in {folder}: not a folder of parts, or its split has not ended",
            next_step="give the folder that `uaitrain data split` made; an interrupted split "
            "ends when it is run again",
        ) from None
    except OSError as error:
        raise storage_error(error, path, "read") from None
    except ValueError as error:
        raise _broken(path, str(error)) from None
    try:
        return _judged(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(path, f"{type(error).__name__}: {error}") from None


def _judged(value: Mapping[str, object]) -> Manifest:
    if value["version"] != VERSION:
        raise ValueError(f"version {value['version']!r}, but only {VERSION} is known")
    manifest = Manifest(
        name=_plain_name(value["name"]),
        folder=value["folder"] is True,
        part_size=_natural(value["part_size"]),
        files=tuple(_file(file) for file in _list(value["files"])),
        folders=tuple(_relative(name) for name in _list(value["folders"])),
    )
    if not manifest.folder and [file.path for file in manifest.files] != [manifest.name]:
        raise ValueError("a single file is not the one the manifest is named by")
    return manifest


def _file(value: Mapping[str, object]) -> DataFile:
    parts = tuple(
        Part(_plain_name(part["name"]), _natural(part["size"]), _digest(part["sha256"]))
        for part in _list(value["parts"])
    )
    file = DataFile(
        path=_relative(value["path"]),
        size=_natural(value["size"]),
        mtime_ns=_natural(value["mtime_ns"]),
        sha256=_digest(value["sha256"]),
        parts=parts,
    )
    if sum(part.size for part in parts) != file.size:
        raise ValueError(f"the parts of {file.path} do not add up to its size")
    return file


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _plain_name(value: object) -> str:
    name = str(value)
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is not a file name")
    return name


def _relative(value: object) -> str:
    path = PurePosixPath(str(value))
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in str(path):
        raise ValueError(f"{value!r} is not a path inside the data")
    return str(path)


def _natural(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a number of bytes")
    return value


def _digest(value: object) -> str:
    if not _SHA256.fullmatch(str(value)):
        raise ValueError(f"{value!r} is not a SHA-256")
    return str(value)


def _broken(path: Path, why: str) -> SourceError:
    return SourceError(
        f"{path} is broken: {why}", next_step="copy it again from where the data was split"
    )
