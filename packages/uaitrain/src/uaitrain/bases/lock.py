"""``uaitrain.lock``: which digest each base of a job had when it was locked, and where it lies.

TOML beside ``uaitrain.toml``: ``version = 1`` and one ``[[base]]`` table for each base.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uaitrain.atomic import storage_error, write_bytes
from uaitrain.bases.catalogue import BaseEntry, Chosen
from uaitrain.errors import UsageError
from uaitrain.oci.digest import Digest, parse_digest
from uaitrain.oci.reference import Reference
from uaitrain.values import dataclass

_VERSION = 1
_HEADER = """\
# The bases of this job, pinned by digest. Made by `uaitrain base lock`, read by `uaitrain pack`
# and `check`; `uaitrain base lock --upgrade` renews it. Keep it beside uaitrain.toml, in git.
"""
_NEEDED = ("name", "digest", "platform", "size", "locked")
_REFERENCES = ("reference", "mirror")


@dataclass(frozen=True)
class LockedBase:
    """One base. ``name`` is what the job calls it, ``size`` what its blobs take in bytes,
    ``locked`` an RFC 3339 time.

    ``reference`` is where it came from, None for a base of this machine. ``index`` is what the
    reference named where that was an index of several platforms. ``mirror`` is where a copy lies.
    """

    name: str
    digest: Digest
    platform: str
    size: int
    locked: str
    reference: Reference | None = None
    index: Digest | None = None
    mirror: Reference | None = None

    @property
    def named(self) -> Digest:
        """What ``reference`` named when it was locked."""
        return self.index or self.digest


@dataclass(frozen=True)
class Lock:
    """``path`` is the file."""

    path: Path
    bases: tuple[LockedBase, ...] = ()

    def find(self, name: str) -> LockedBase | None:
        return next((base for base in self.bases if base.name == name), None)


def name_of(chosen: Chosen) -> str:
    """What a lock calls a base, which is what the job calls it."""
    return chosen.name if isinstance(chosen, BaseEntry) else str(chosen)


def read(path: Path) -> Lock:
    """A missing file is an empty lock. Raises UsageError for one that is broken."""
    import tomllib

    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Lock(path)
    except OSError as error:
        raise storage_error(error, path, "read") from None
    except ValueError as error:
        raise _broken(path, f"not TOML: {error}") from None
    if document.get("version") != _VERSION:
        raise UsageError(
            f"{path}: version is {document.get('version')!r}",
            allowed=str(_VERSION),
            next_step="a newer uaitrain wrote it: use that one, or make it anew: uaitrain base lock"
            " --upgrade",
        )
    listed = document.get("base", [])
    if not isinstance(listed, list):
        raise _broken(path, "base is no list of tables")
    bases = tuple(_base(path, value) for value in listed)
    if len({base.name for base in bases}) != len(bases):
        raise _broken(path, "two bases have the same name")
    return Lock(path, bases)


def write(lock: Lock) -> None:
    """Raises StorageError; then the old file is as it was."""
    write_bytes(lock.path, render(lock).encode("utf-8", "backslashreplace"))


def render(lock: Lock) -> str:
    """The same lock, the same text."""
    parts = [_HEADER, f"version = {_VERSION}\n"]
    for base in sorted(lock.bases, key=lambda base: base.name):
        values: dict[str, Any] = {
            "name": base.name,
            "reference": base.reference,
            "digest": base.digest,
            "index": base.index,
            "mirror": base.mirror,
            "platform": base.platform,
            "size": base.size,
            "locked": base.locked,
        }
        told = ((key, value) for key, value in values.items() if value is not None)
        parts.append("\n[[base]]\n" + "".join(f"{key} = {_toml(each)}\n" for key, each in told))
    return "".join(parts)


def _toml(value: object) -> str:
    """JSON's strings are TOML's, but for the one control character that JSON leaves as it is."""
    if isinstance(value, int):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _base(path: Path, value: object) -> LockedBase:
    if not isinstance(value, dict):
        raise _broken(path, f"a base is {str(value)[:60]!r}")
    known = (*_NEEDED, *_REFERENCES, "index")
    for key, each in value.items():
        if key not in known:
            raise _broken(path, f"unknown key {key!r}")
        if type(each) is not (int if key == "size" else str):
            raise _broken(path, f"{key} is {str(each)[:60]!r}")
    for key in _NEEDED:
        if key not in value:
            raise _broken(path, f"a base lacks {key}")
    try:
        references = {key: Reference.parse(value[key]) for key in _REFERENCES if key in value}
        return LockedBase(
            value["name"],
            parse_digest(value["digest"]),
            value["platform"],
            value["size"],
            value["locked"],
            references.get("reference"),
            parse_digest(value["index"]) if "index" in value else None,
            references.get("mirror"),
        )
    except UsageError as error:
        raise _broken(path, error.what) from None


def _broken(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: {why}",
        next_step="take it from git again, or delete it and make it anew: uaitrain base lock",
    )
