"""Write a file so that nobody ever sees half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def appearing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new empty file beside ``path``, to be written by its name. It takes the name ``path``
    when the block ends well, safe on the disk by then, and is gone when it does not.

    Its name begins with a dot and ends in ``.tmp``. Raises OSError; then what was at ``path`` is
    as it was.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{os.urandom(6).hex()}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        temporary.replace(final)
        # Some network file systems cannot sync a folder; the file itself is safe there.
        with suppress(OSError):
            _sync(final.parent, os.O_RDONLY)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
