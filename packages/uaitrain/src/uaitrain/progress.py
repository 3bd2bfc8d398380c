"""How long work tells that it goes on; the command line decides what is shown."""

from __future__ import annotations

from uaitrain.typed import Protocol


class Task(Protocol):
    def advance(self, amount: int) -> None:
        """``amount`` more bytes (or steps) are done. Safe to call from any thread."""

    def done(self, note: str = "") -> None:
        """The task ended; ``note`` replaces its figures (``already there``)."""


class Progress(Protocol):
    def start(self, name: str, total: int | None = None) -> Task:
        """A new task; ``total`` is in bytes, None where nobody knows."""


class _SilentTask:
    def advance(self, amount: int) -> None:
        pass

    def done(self, note: str = "") -> None:
        pass


class Silent:
    """Shows nothing."""

    def start(self, name: str, total: int | None = None) -> Task:
        return _SilentTask()
