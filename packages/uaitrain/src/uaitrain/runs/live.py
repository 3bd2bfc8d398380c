"""How a running training shows itself: one line that changes, or plain lines."""

from __future__ import annotations

import math
import re
import shutil
import time
from typing import Protocol, TextIO

from uaitrain.runs.caffe_log import Evaluated, Event, Trained
from uaitrain.runs.record import Record, is_accuracy

_FRAME_SECONDS = 0.1
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class View(Protocol):
    def update(self, line: str, event: Event | None, record: Record) -> None: ...

    def close(self) -> None: ...


class LiveLine:
    """One line on a terminal, drawn at most ten times a second."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = 0.0
        self._began = time.monotonic()

    def update(self, line: str, event: Event | None, record: Record) -> None:
        now = time.monotonic()
        if now - self._drawn < _FRAME_SECONDS:
            return
        self._drawn = now
        text = describe(record) or _starting(line, now - self._began)
        width = shutil.get_terminal_size().columns
        self._stream.write("\r\033[K" + text[: max(0, width - 1)])
        self._stream.flush()

    def close(self) -> None:
        self._stream.write("\r\033[K")
        self._stream.flush()


class PlainLines:
    """A line for each iteration and each test that Caffe reports."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def update(self, line: str, event: Event | None, record: Record) -> None:
        news = isinstance(event, Trained) or (
            isinstance(event, Evaluated) and is_accuracy(event.name)
        )
        if news:
            self._stream.write(describe(record) + "\n")
            self._stream.flush()

    def close(self) -> None:
        pass


class NoView:
    """Shows nothing."""

    def update(self, line: str, event: Event | None, record: Record) -> None:
        pass

    def close(self) -> None:
        pass


class WholeLog:
    """Every line of the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def update(self, line: str, event: Event | None, record: Record) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        pass


def describe(record: Record) -> str:
    """``iteration 300/500 · loss 0.21 · accuracy 95.3 % · 31.2 it/s · 6 s left``."""
    if not record.losses and not record.outputs:
        return ""
    total = f"/{record.max_iter}" if record.max_iter else ""
    parts = [f"iteration {record.iteration}{total}"]
    if record.loss is not None:
        parts.append(f"loss {record.loss:.4g}")
    if record.accuracy is not None:
        parts.append(f"accuracy {percent(record.accuracy)}")
    if record.rate:
        parts.append(f"{record.rate:.3g} it/s")
    if record.seconds_left:
        parts.append(f"{duration(record.seconds_left)} left")
    return " · ".join(parts)


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``5 h 10 min``, ``2 d 3 h``."""
    whole = math.ceil(seconds)
    for unit, name, below, below_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // below} {below_name}"
    return f"{whole} s"


def _starting(line: str, seconds: float) -> str:
    return f"{duration(seconds)} · " + _UNPRINTABLE.sub(" ", line)
