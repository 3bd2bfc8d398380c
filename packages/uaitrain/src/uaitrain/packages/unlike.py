"""Which files of a container differ from the base's, told by their bytes.

Engines call a file changed that was written anew with the same content, and do not agree on when
they do. A layer that has none of those is the same whatever engine made it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path

from uaitrain.errors import BaseError
from uaitrain.oci.blob import CHUNK


def unlike(names: Iterable[str], after: Path, before: Path) -> list[str]:
    """Those of ``names`` that are not the same in both tars, or in one of them alone; sorted.

    Compared are kind, mode, owner, target and content; times are not. Raises BaseError for a
    broken tar, OSError.
    """
    try:
        with tarfile.open(after, "r:") as new, tarfile.open(before, "r:") as old:
            new_members, old_members = _by_name(new), _by_name(old)
            return sorted(
                name
                for name in names
                if not _same(new, new_members.get(name), old, old_members.get(name))
            )
    except (tarfile.TarError, KeyError) as error:
        raise BaseError(f"the container's archive is broken: {error}") from None


def _by_name(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    return {member.name.removeprefix("./").strip("/"): member for member in tar}


def _same(
    new: tarfile.TarFile,
    one: tarfile.TarInfo | None,
    old: tarfile.TarFile,
    other: tarfile.TarInfo | None,
) -> bool:
    if one is None or other is None:
        return False
    if (_mode(one), one.uid, one.gid) != (_mode(other), other.uid, other.gid):
        return False
    if not (_is_file(one) and _is_file(other)):
        return (one.type, one.linkname) == (other.type, other.linkname)
    this, that = new.extractfile(one), old.extractfile(other)
    assert this is not None
    assert that is not None
    while chunk := this.read(CHUNK):
        if that.read(CHUNK) != chunk:
            return False
    return that.read(1) == b""


def _mode(member: tarfile.TarInfo) -> int:
    """Some archives have the kind of a file among its bits."""
    return member.mode & 0o7777


def _is_file(member: tarfile.TarInfo) -> bool:
    """A second name of a file is one, too."""
    return member.isreg() or member.islnk()
