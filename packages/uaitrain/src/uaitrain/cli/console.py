"""How the command line speaks: results on stdout, everything else on stderr.

Piped output is plain: no colours, no progress. ``--json`` puts one JSON value on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping

from uaitrain.errors import UaitrainError
from uaitrain.progress import Progress, Silent, Task
from uaitrain.units import human_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

_COLOURS = {"red": "31", "yellow": "33", "green": "32", "bold": "1", "dim": "2"}
_FRAME_SECONDS = 0.1
_QUIET_SECONDS = 0.4


class Console:
    """Speaks to one user: ``out`` results, ``note`` remarks, ``json`` values, ``progress``."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.is_terminal = sys.stderr.isatty()
        self._colours = self.is_terminal and not os.environ.get("NO_COLOR")
        self.is_quiet = quiet
        self._as_json = as_json
        self.told: list[str] = []
        """The remarks so far, shown or not."""
        self.has_warned = False
        self._line = StatusLine(sys.stderr) if self.is_terminal and not quiet else None
        self.progress: Progress = self._line or Silent()

    def out(self, text: str) -> None:
        """A result, for people; silent under ``--json``, where :meth:`json` speaks."""
        if not self._as_json:
            self._pause()
            print(text, flush=True)

    def json(self, value: Mapping[str, Any] | list[Any]) -> None:
        self._pause()
        print(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False), flush=True)

    def note(self, text: str) -> None:
        """A remark on stderr; silent under ``--quiet``."""
        self.told.append(text)
        if not self.is_quiet:
            self._pause()
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        self.has_warned = True
        self._pause()
        print(f"{self.paint('yellow', 'warning:')} {harmless(text)}", file=sys.stderr, flush=True)

    def error(self, error: UaitrainError) -> None:
        self._pause()
        print(f"{self.paint('red', 'error:')} {harmless(str(error))}", file=sys.stderr, flush=True)
        if self._as_json:
            self.json(
                {
                    "error": {
                        "what": error.what,
                        "allowed": error.allowed,
                        "next_step": error.next_step,
                        "exit_code": error.exit_code,
                    }
                }
            )

    def paint(self, colour: str, text: str) -> str:
        return f"\033[{_COLOURS[colour]}m{text}\033[0m" if self._colours else text

    def close(self) -> None:
        self._pause()

    def _pause(self) -> None:
        if self._line:
            self._line.clear()


def harmless(text: str) -> str:
    """``text`` without what a terminal would obey: a message may quote a server or an image.

    Controls, bidirectional marks and bytes that are no UTF-8 become backslash escapes.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


class _LineTask:
    """One task on the status line; ``total`` and ``count`` are in bytes."""

    def __init__(self, line: StatusLine, name: str, total: int | None) -> None:
        self.line, self.name, self.total = line, name, total
        self.count = 0

    def advance(self, amount: int) -> None:
        self.line.advance(self, amount)

    def done(self, note: str = "") -> None:
        self.line.finish(self)


class StatusLine:
    """One line on a terminal that shows the tasks at work; tasks may run in any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._tasks: list[_LineTask] = []
        self._shown = False
        self._since = self._drawn = time.monotonic()

    def start(self, name: str, total: int | None = None) -> Task:
        task = _LineTask(self, name, total)
        with self._lock:
            if not self._tasks:
                self._since = time.monotonic()
            self._tasks.append(task)
            self._draw()
        return task

    def advance(self, task: _LineTask, amount: int) -> None:
        with self._lock:
            task.count += amount
            self._draw()

    def finish(self, task: _LineTask) -> None:
        with self._lock:
            if task in self._tasks:
                self._tasks.remove(task)
            if not self._tasks:
                self._erase()

    def clear(self) -> None:
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
            self._shown = False

    def _draw(self) -> None:
        now = time.monotonic()
        # What is over at once would only flicker.
        if now - self._drawn < _FRAME_SECONDS or now - self._since < _QUIET_SECONDS:
            return
        self._drawn = now
        # A terminal that does not know its size says 0.
        width = os.get_terminal_size(self._stream.fileno()).columns or 80
        text = " | ".join(_describe(task) for task in self._tasks)
        if len(text) >= width:
            text = text[: max(0, width - 2)] + "…"
        self._stream.write(f"\r\033[K{text}")
        self._stream.flush()
        self._shown = True


def _describe(task: _LineTask) -> str:
    if task.total:
        share = min(100, 100 * task.count // task.total)
        return f"{task.name}: {human_bytes(task.count)} of {human_bytes(task.total)} ({share} %)"
    return f"{task.name}: {human_bytes(task.count)}" if task.count else f"{task.name} …"
