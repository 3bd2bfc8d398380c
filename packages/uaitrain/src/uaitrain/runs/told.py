"""What a run has told: its log and its completion marker in the output folder, or the lines that
its backend gives."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from uaitrain.runs.record import Record, watch
from uaitrain.runs.run import Run, Values
from uaitrain.runs.shipping import is_uri

_HEAD_BYTES = 1 << 18
_TAIL_BYTES = 1 << 19
"""The solver says what it will do in the log's first lines; the last tests are at the end."""


def log_file(run: Run) -> Path | None:
    """The log of rank 0, where the run's output folder can be reached from here."""
    path = _inside(run, f"log/{run.run_id}.0.log")
    return path if path is not None and path.is_file() else None


def exit_code(run: Run) -> int | None:
    """How the run ended by what the launcher of rank 0 noted: 0 once it is complete, else the
    exit code of the last start that came to its end. None where nothing can be read."""
    for name in ("complete", "json"):
        path = _inside(run, f".uaitrain/{run.run_id}.0.{name}")
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(path.read_bytes()) if path else None
            code = told.get("exit_code") if isinstance(told, dict) else None
            if isinstance(code, int):
                return code
    return None


def file_lines(path: Path) -> Iterator[str]:
    with path.open(errors="replace") as file:
        for line in file:
            yield line.rstrip("\n")


def values_from_file(path: Path) -> Values:
    """Of a log of any length: only its beginning and its end are read. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        start = file.seek(max(_HEAD_BYTES, size - _TAIL_BYTES))
        # Halves of two lines are no line.
        text = head + (b"\n" if start > len(head) else b"") + file.read(_TAIL_BYTES)
    return values_from(text.decode(errors="replace").splitlines())


def values_from(lines: Iterable[str]) -> Values:
    record = Record()
    for _ in watch(lines, record):
        pass
    return values_of(record)


def values_of(record: Record) -> Values:
    begun = bool(record.losses or record.outputs or record.iteration)
    return Values(
        iteration=record.iteration if begun else None,
        max_iter=record.max_iter or None,
        loss=record.loss,
        accuracy=record.accuracy,
    )


def _inside(run: Run, name: str) -> Path | None:
    if not run.output or is_uri(run.output) or not Path(run.output).is_absolute():
        return None
    return Path(run.output) / name
