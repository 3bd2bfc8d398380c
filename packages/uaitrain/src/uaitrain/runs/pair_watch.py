"""Look at an output folder while a run writes into it: which snapshots appeared, in what order."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from uaitrain.runs import pairs

LOOK_SECONDS = 0.02
QUICK_LOOK_SECONDS = 0.001


@dataclass(frozen=True)
class Written:
    """A snapshot file that was being written: its name, and its bytes when it was seen."""

    name: str
    bytes: int


class PairWatch:
    """Inside a ``with`` block, looks at ``folder`` in a thread of its own.

    ``appeared`` has the iteration of every whole pair at its final place, in the order in which
    they appeared or were written anew. ``caught`` is the file at whose writing the callback of
    :meth:`when_written` was called.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._at_write: Callable[[], None] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._seen: dict[Path, tuple[int, int]] = {}
        self._known_files: dict[int, int] = {}
        self.appeared: list[int] = []
        self.caught: Written | None = None
        self._look_for_pairs()
        self.appeared.clear()

    def __enter__(self) -> PairWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look_for_pairs()

    def when_written(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as another snapshot's file begins to appear, wherever
        it is staged."""
        self._known_files = {s.st_ino: s.st_mtime_ns for _, s in _snapshot_files(self._folder)}
        self._at_write = callback

    def _look_on(self) -> None:
        looks = 0
        while not self._over.wait(QUICK_LOOK_SECONDS if self._at_write else LOOK_SECONDS):
            looks += 1
            if self._at_write:
                self._look_for_writing(self._at_write)
            if not self._at_write or looks % 20 == 0:
                self._look_for_pairs()

    def _look_for_writing(self, callback: Callable[[], None]) -> None:
        for path, status in _snapshot_files(self._folder):
            # A file that is only renamed keeps its inode and its time.
            if self._known_files.get(status.st_ino) != status.st_mtime_ns:
                callback()
                self.caught = Written(Path(path).name, status.st_size)
                self._at_write = None
                return

    def _look_for_pairs(self) -> None:
        found = []
        for state in pairs.states(self._folder):
            with contextlib.suppress(OSError, pairs.BrokenPairError):
                status = state.stat()
                version = (status.st_ino, status.st_mtime_ns)
                if self._seen.get(state) != version:
                    found.append((status.st_mtime_ns, pairs.read(state).iteration))
                    self._seen[state] = version
        self.appeared += [iteration for _, iteration in sorted(found)]


def _snapshot_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each with what ``stat`` tells, also in hidden folders."""
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif pairs.is_snapshot_file(entry.name):
                    with contextlib.suppress(OSError):
                        yield entry.path, entry.stat()
