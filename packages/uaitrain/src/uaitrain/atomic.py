"""Write a file so that nobody ever sees half of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from uaitrain.errors import StorageError, UaitrainError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def storage_error(error: OSError, path: Path, doing: str = "write") -> UaitrainError:
    """The message for a failed disk operation on ``path``."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StorageError(
        f"cannot {doing} {path}: {reason}",
        next_step="free some space there or choose another place"
        if error.errno in (28, 122)
        else "check the path and its permissions",
    )


def make_temporary(folder: Path, prefix: str) -> tuple[int, str]:
    """A new file that only this user may read: its descriptor and its path. Raises OSError.

    What ``tempfile.mkstemp`` does, without the 9 ms that loading ``tempfile`` takes.
    """
    while True:
        path = _temporary_name(folder, prefix)
        with contextlib.suppress(FileExistsError):
            return os.open(path, _NEW, 0o600), str(path)


def _temporary_name(folder: Path, prefix: str) -> Path:
    return folder / f"{prefix}{os.urandom(6).hex()}"


@contextlib.contextmanager
def appearing(path: Path, mode: int = 0o644, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file that takes the name ``path`` when the block ends well, and is gone when it does not.

    The folder must exist. Raises StorageError; then the old file is as it was.
    """
    # Named before it is there: an interrupt may come between any two steps.
    temporary = _temporary_name(path.parent, f".{path.name}.")
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise storage_error(error, path) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_bytes(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace ``path`` by ``data`` in one step, durable when this returns unless told otherwise.

    The folder must exist. Raises StorageError; then the old file is as it was.
    """
    with appearing(path, mode, durable=durable) as file:
        file.write(data)
