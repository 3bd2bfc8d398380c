"""Which files of a folder are opened while a block runs, as the interpreter itself tells it.

So no check has to say what it reads, and none can forget to.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_watches: list[tuple[str, set[str]]] = []
_is_hooked = False


@contextlib.contextmanager
def opened_below(folder: str | os.PathLike[str]) -> Iterator[set[str]]:
    """Collects the paths, relative to ``folder``, of what Python code opens below it."""
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_heard)
        _is_hooked = True
    watch = (os.path.realpath(folder) + os.sep, set[str]())
    _watches.append(watch)
    try:
        yield watch[1]
    finally:
        _watches[:] = [each for each in _watches if each is not watch]


def _heard(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _watches:
        return
    path = arguments[0]
    if isinstance(path, str | bytes):
        real = os.path.realpath(os.fsdecode(path))
        for prefix, found in _watches:
            if real.startswith(prefix):
                found.add(real[len(prefix) :])
