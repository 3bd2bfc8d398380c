"""How a run ended, and what it left in the output folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uaitrain.errors import EXIT_INTERRUPTED, EXIT_TERMINATED, EngineError, TrainingError
from uaitrain.runs.record import Record

FAILURE_FILE = "failure"
_FAILURE_BYTES = 1024
_WEIGHTS = ("*.caffemodel", "*.caffemodel.h5")

_ENGINE_FAILED = 125
_KILLED = 137
_MEANINGS = {
    126: "the image's /bin/bash, or what it started, cannot be executed",
    127: "the image has no /bin/bash, or not the program that the command names",
    134: "the program aborted",
    _KILLED: "it was killed, most likely because memory ran out",
    139: "the program crashed (segmentation fault)",
}


@dataclass(frozen=True)
class Outcome:
    """``failure`` is the run's own reason (from its ``failure`` file), or empty.

    ``stopped`` when the user asked for the end. Paths are on this machine; ``seconds`` is the
    time from the container's start to its end.
    """

    exit_code: int
    seconds: float
    record: Record
    stopped: bool
    tail: tuple[str, ...]
    failure: str = ""
    weights: Path | None = None
    log: Path | None = None
    curve: Path | None = None

    @property
    def snapshot_kept(self) -> bool:
        """The run was stopped and can go on from where it was."""
        return self.exit_code == EXIT_TERMINATED

    def to_json(self) -> dict[str, Any]:
        record = self.record
        return {
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 3),
            "iteration": record.iteration,
            "max_iter": record.max_iter,
            "loss": record.loss,
            "accuracy": record.accuracy,
            "test_outputs": record.outputs,
            "weights": str(self.weights) if self.weights else None,
            "log": str(self.log) if self.log else None,
            "curve": str(self.curve) if self.curve else None,
            "failure": self.failure or None,
        }

    def error(self) -> EngineError | TrainingError | None:
        """What to tell the user about a run that did not end well."""
        if self.exit_code == 0 or (self.stopped and self.snapshot_kept):
            return None
        if self.stopped and self.exit_code == _KILLED:
            return TrainingError("the training was ended at once, as asked", EXIT_INTERRUPTED)
        last = next((line for line in reversed(self.tail) if line.strip()), "")
        if self.exit_code == _ENGINE_FAILED:
            return EngineError(
                f"the engine could not run the container: {last}", next_step="uaitrain doctor"
            )
        general = _MEANINGS.get(self.exit_code, "")
        # 126 and 127 also come from the engine, whose own words say more than the number.
        general += f": {last}" if general and last else last
        meaning = self.failure or self.record.fatal or general
        what = f"the training failed with exit code {self.exit_code}: {meaning}".rstrip(": ")
        step = f"the whole log is in {self.log}" if self.log else "uaitrain test --log shows it all"
        return TrainingError(what, self.exit_code, next_step=step)


def newest(folder: Path, patterns: tuple[str, ...], since: float) -> Path | None:
    """The newest file below ``folder`` that was written after ``since`` (seconds, as mtime)."""

    def files() -> Iterator[tuple[float, Path]]:
        for pattern in patterns:
            for path in folder.rglob(pattern):
                try:
                    changed = path.stat().st_mtime
                except OSError:
                    continue
                if changed >= since and path.is_file():
                    yield changed, path

    return max(files(), default=(0.0, None))[1]


def newest_weights(output: Path, since: float) -> Path | None:
    return newest(output, _WEIGHTS, since)


def newest_log(output: Path, since: float) -> Path | None:
    """The launcher's, else whatever a main file wrote; TensorBoard's folders lie beside it."""
    folder = output / "log"
    return newest(folder, ("*.log",), since) or newest(folder, ("*",), since)


def failure_text(output: Path, since: float) -> str:
    """What the run wrote about its failure, or nothing."""
    path = output / FAILURE_FILE
    try:
        if path.stat().st_mtime < since:
            return ""
        with path.open("rb") as file:
            return file.read(_FAILURE_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""
