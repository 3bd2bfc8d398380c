"""A report from what a run left: an output folder, or a run of the store."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uaitrain import __version__
from uaitrain.atomic import storage_error
from uaitrain.backends import State
from uaitrain.errors import EXIT_TERMINATED, SourceError
from uaitrain.progress import Progress, Silent
from uaitrain.runs.outcome import failure_text, newest
from uaitrain.runs.report.data_digest import digest_of
from uaitrain.runs.report.model import RunReport, Section
from uaitrain.runs.report.telling import Telling, read
from uaitrain.runs.run import Run
from uaitrain.runs.shipping import is_uri
from uaitrain.runs.told import log_file
from uaitrain.units import human_bytes

FINISHED = "finished"
NOT_ENDED = "not ended"
"""States of a folder's run that no marker and no backend tells of: as far as its log says."""

_SECONDS_OF_AN_END = 5
"""Between a log's last line and the launcher's note of the end."""

_STEP_BYTES = 1 << 18

_LOG_NAME = re.compile(r"(?P<run_id>[a-z][a-z0-9-]{0,51})\.(?P<rank>[0-9]+)\.log")


@dataclass(frozen=True)
class Job:
    """What is known of a local job beside its results; anything may be empty. ``data`` is the
    data folder, ``image`` the image's name, ``image_digest`` what names its content."""

    name: str = ""
    data: Path | None = None
    image: str = ""
    image_digest: str = ""
    settings: tuple[tuple[str, str], ...] = ()


def from_folder(
    output: Path,
    job: Job,
    *,
    log: Path | None = None,
    contents: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """The newest run in ``output``, or the one of ``log``. Raises SourceError where there is no
    log, and StorageError for what cannot be read."""
    log = log or newest_log(output)
    run_id, _ = _named(log)
    telling = _read_file(log, progress)
    code = _exit_code(output, log)
    since = log.stat().st_mtime - telling.seconds - 60
    failure = failure_text(output, since)
    return _report(
        title=run_id or job.name or output.name,
        state=_state_of(code, telling, failure),
        reason=failure or telling.record.fatal,
        telling=telling,
        sections=(
            Section.of(
                "Run",
                ("run id", run_id),
                ("exit code", "" if code is None else str(code)),
                ("output", str(output)),
                ("log", str(log)),
                *_told(telling),
            ),
            Section.of("Image", ("name", job.image), ("digest", job.image_digest)),
            _data(str(job.data or ""), contents=contents, progress=progress),
            _settings(telling, job.settings),
            Section.of("Environment", ("command", _command(telling)), *_this()),
        ),
    )


def from_run(
    run: Run,
    lines: Callable[[], Iterable[str]],
    *,
    contents: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """A run of the store. ``lines`` is its log by its backend, asked for where no file of it can
    be reached from here. Raises what ``lines`` raises, and StorageError."""
    file = log_file(run)
    telling = _read_file(file, progress) if file is not None else read(lines())
    job = run.job
    variables = sorted(job.environment.items())
    failed = run.state == State.FAILED
    return _report(
        title=run.run_id,
        state=run.state,
        reason=(telling.record.fatal if failed else "") or (run.reason if failed else ""),
        telling=telling,
        sections=(
            Section.of(
                "Run",
                ("run id", run.run_id),
                ("backend", f"{run.backend} {run.handle}".strip()),
                ("exit code", "" if run.exit_code is None else str(run.exit_code)),
                ("reason", run.reason),
                ("submitted", _time(run.created)),
                ("output", run.output),
                ("log", str(file or "by the backend")),
                *_told(telling),
            ),
            Section.of("Image", ("name", run.image), ("digest", run.digest)),
            _data(run.data, contents=contents, progress=progress),
            _settings(telling, tuple(_options(run.options))),
            Section.of(
                "Environment",
                ("command", shlex.join(job.argv)),
                ("nodes", str(job.nodes)),
                ("GPUs on each", str(job.gpus)),
                ("cores on each", str(job.cpus or "")),
                ("memory on each", human_bytes(job.memory_bytes) if job.memory_bytes else ""),
                ("variables", "\n".join(f"{name}={value}" for name, value in variables)),
                ("secrets", ", ".join(job.secrets)),
                *_this(),
            ),
        ),
    )


def newest_log(output: Path) -> Path:
    """Of rank 0 where there are several. Raises SourceError."""
    logs = newest(output / "log", ("*.0.log",), 0) or newest(output / "log", ("*.log", "*"), 0)
    if logs is None:
        raise SourceError(
            f"{output} has no log of a run",
            allowed="an output folder, whose logs lie in its folder log/",
            next_step="uaitrain test makes one; --log names a log elsewhere",
        )
    return logs


def _report(
    *, title: str, state: str, reason: str, telling: Telling, sections: tuple[Section, ...]
) -> RunReport:
    record = telling.record
    return RunReport(
        title=title,
        state=state,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        curves=telling.curves,
        sections=sections,
        tail=tuple(telling.tail),
        reason=reason,
        iteration=record.iteration,
        max_iter=record.max_iter,
        loss=record.loss,
        accuracy=record.accuracy,
        seconds=telling.seconds or None,
    )


def _read_file(path: Path, progress: Progress | None) -> Telling:
    try:
        return read(_lines(path, progress or Silent()))
    except OSError as error:
        raise storage_error(error, path, "read") from None


def _lines(path: Path, progress: Progress) -> Iterator[str]:
    with path.open("rb") as file:
        task = progress.start("reading the log", path.stat().st_size)
        waiting = 0
        for line in file:
            waiting += len(line)
            if waiting > _STEP_BYTES:
                task.advance(waiting)
                waiting = 0
            yield line.decode(errors="replace").rstrip("\r\n")
        task.advance(waiting)
        task.done()


def _named(log: Path) -> tuple[str, str]:
    match = _LOG_NAME.fullmatch(log.name)
    return (match["run_id"], match["rank"]) if match else ("", "")


def _exit_code(output: Path, log: Path) -> int | None:
    """What the launcher noted: in the completion marker, or, of a run that can go on, in its
    state, unless the log went on after that."""
    run_id, rank = _named(log)
    folder = output / ".uaitrain"
    state = folder / f"{run_id}.{rank}.json"
    code = _code_in(folder / f"{run_id}.{rank}.complete")
    if code is None and (code := _code_in(state)) is not None:
        went_on = log.stat().st_mtime > state.stat().st_mtime + _SECONDS_OF_AN_END
        return None if went_on else code
    return code


def _code_in(path: Path) -> int | None:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    code = told.get("exit_code") if isinstance(told, dict) else None
    return code if isinstance(code, int) else None


def _state_of(code: int | None, telling: Telling, failure: str) -> str:
    if code is not None:
        if code == EXIT_TERMINATED:
            return State.STOPPED
        return State.SUCCEEDED if code == 0 else State.FAILED
    if telling.record.fatal or failure:
        return State.FAILED
    return FINISHED if telling.record.ended else NOT_ENDED


def _told(telling: Telling) -> Iterator[tuple[str, str]]:
    """What the log has told beside its curves."""
    yield "attempts", str(telling.attempts) if telling.attempts > 1 else ""
    outputs = (f"{name} = {value:.6g}" for name, value in telling.record.outputs.items())
    yield "last test", "\n".join(outputs)
    yield "snapshots", "\n".join(dict.fromkeys(telling.snapshots))


def _command(telling: Telling) -> str:
    """The stock entry's own first words."""
    begins = "train.py: started: "
    found = (line.removeprefix(begins) for line in telling.first if line.startswith(begins))
    return next(found, "")


def _settings(telling: Telling, settings: tuple[tuple[str, str], ...]) -> Section:
    return Section.of("Settings", *settings, ("solver", "\n".join(telling.solver)))


def _options(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in options.items():
        if value not in ("", (), [], None):
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield name, text


def _data(place: str, *, contents: bool, progress: Progress | None) -> Section:
    """The data folder's digest, where it is a folder here."""
    if not place or is_uri(place) or not Path(place).is_dir():
        return Section.of("Data", ("place", place), ("digest", "not read: not a folder here"))
    found = digest_of(Path(place), contents=contents, progress=progress)
    return Section.of(
        "Data",
        ("place", place),
        ("digest", found.digest),
        ("of", f"{found.kind} of {found.files:,} files, {human_bytes(found.size)}, when the "
         "report was made"),
    )  # fmt: skip


def _this() -> tuple[tuple[str, str], ...]:
    return (("report by", f"uaitrain {__version__}"),)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
