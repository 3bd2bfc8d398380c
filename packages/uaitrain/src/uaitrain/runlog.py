"""What happened in one run, for the file beside ``uaitrain_cmd.txt``: no secrets come here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uaitrain import atomic


class RunLog:
    """Lines with their time; ``phase`` also measures how long each step took, in seconds."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.seconds: dict[str, float] = {}

    def line(self, text: str) -> None:
        now = time.time_ns() // 1_000_000
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1000))
        self._lines += [f"{stamp}.{now % 1000:03}Z {row}" for row in text.splitlines()]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
            self.line(f"{name}: {self.seconds[name]:.3f} s")

    def write(self, path: Path) -> None:
        """Raises StorageError. A power cut may take the log of the last seconds: nobody waits."""
        text = "\n".join(self._lines) + "\n"
        atomic.write_bytes(path, text.encode("utf-8", "backslashreplace"), durable=False)
