"""Which Python packages a base has, told by the names of its files.

Only a base that is on this machine is read: once, then it is remembered by its digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from uaitrain import atomic
from uaitrain.bases.probe import files_of
from uaitrain.errors import UaitrainError
from uaitrain.oci.digest import hex_part
from uaitrain.package_settings import normal
from uaitrain.paths import cache_dir

if TYPE_CHECKING:
    from uaitrain.bases.resolve import ResolvedBase

_NOTE = re.compile(
    r"usr/(?:local/)?lib/python(3|[0-9]+\.[0-9]+)/(?:dist|site)-packages/"
    r"([^/-]+)-([^/-]+)(?:-py[0-9.]+)?\.(?:dist|egg)-info(?:/.*)?"
)
"""Where installers leave a note of name and version (PEP 376, and eggs before it)."""


def installed(base: ResolvedBase, python: str) -> Mapping[str, str] | None:
    """Name to version under ``python`` (such as 3.9); None where the base is only in a registry."""
    if not base.local:
        return None
    memory = cache_dir() / "packages" / "installed" / f"{hex_part(base.image.digest)}.{python}.json"
    try:
        remembered = json.loads(memory.read_text("utf-8"))
        if isinstance(remembered, dict):
            return remembered
    except (OSError, ValueError):
        pass
    found = read_names(files_of(base.image), python)
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(memory, json.dumps(found).encode(), durable=False)
    except (OSError, UaitrainError):
        return found  # read again next time
    return found


def read_names(paths: Iterable[str], python: str) -> dict[str, str]:
    """Name to version of the notes among ``paths``; /usr/local wins, as in Python."""
    found: dict[str, str] = {}
    for path in sorted(paths, reverse=True):
        note = _NOTE.fullmatch(path)
        if note and python.startswith(note[1]):
            found[normal(note[2])] = note[3]
    return found
