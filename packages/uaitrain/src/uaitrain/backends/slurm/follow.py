"""Log files that grow, line by line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from uaitrain.atomic import storage_error

_LOOK_SECONDS, _ASK_SECONDS = 0.5, 3.0
"""How often files are looked at, and how often Slurm is asked whether the run is over."""


def follow_logs(folder: Path, is_over: Callable[[], bool], follow: bool) -> Iterator[str]:
    """The lines of ``log`` in ``folder``, or of a sweep's ``log-<task>``, each then begun with
    its task. Without ``follow`` what is there now, else until ``is_over``. Raises StorageError."""
    open_files: dict[Path, _Growing] = {}
    try:
        asked, over = time.monotonic() - _ASK_SECONDS, not follow
        while True:
            for path in sorted(folder.glob("log*")):
                if path not in open_files:
                    open_files[path] = _Growing(path)
            fresh = False
            for file in open_files.values():
                for line in file.lines(last=over):
                    fresh = True
                    yield line
            if over:
                return
            if time.monotonic() - asked >= _ASK_SECONDS:
                # What was written before the end is read once more after it.
                asked, over = time.monotonic(), is_over()
            elif not fresh:
                time.sleep(_LOOK_SECONDS)
    finally:
        for file in open_files.values():
            file.close()


class _Growing:
    def __init__(self, path: Path) -> None:
        task = path.name.removeprefix("log").removeprefix("-")
        self._prefix = f"[{task}] " if task else ""
        self._path, self._rest = path, b""
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise storage_error(error, path, "read") from None

    def lines(self, *, last: bool) -> Iterator[str]:
        """What came since the last call; an unfinished line only when it is the ``last``."""
        try:
            data = self._rest + self._file.read()
        except OSError as error:
            raise storage_error(error, self._path, "read") from None
        *whole, self._rest = data.split(b"\n")
        if last and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        for raw in whole:
            yield self._prefix + raw.decode(errors="replace").rstrip("\r")

    def close(self) -> None:
        self._file.close()
