"""Watching a run from its log's first line to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from uaitrain import backends
from uaitrain.backends import State
from uaitrain.errors import EXIT_TERMINATED, BackendError, TrainingError, UaitrainError
from uaitrain.runs import told
from uaitrain.runs.outcome import failure_text
from uaitrain.runs.record import Record, watch
from uaitrain.runs.refresh import Connect, backend_of, learnt
from uaitrain.runs.run import Change, Run
from uaitrain.runs.shipping import is_uri
from uaitrain.runs.store import Store

_LOOK_SECONDS = 0.5
_CANCEL_SECONDS = 5.0


def follow(
    store: Store, run: Run, show: Callable[[str], None], connect: Connect = backends.connect
) -> Run:
    """Show each line until the run is over; the store learns what it told and how it ended.

    A backend that starts the run once more by itself is followed further. Raises what the
    backend raises.
    """
    backend = backend_of(run, connect)
    record = Record()
    shown = 0
    while True:
        lines, failure = 0, None
        try:
            for line, _ in watch(backend.logs(run.handle, follow=True), record):
                lines += 1
                # Asked once more, a backend begins with the first line.
                if lines > shown:
                    show(line)
        except UaitrainError as error:
            failure = error
        shown = max(shown, lines)
        asked = time.time()
        status = backend.status([run.handle])[run.handle]
        # A run that is over may have been taken away together with its log.
        if status.state.is_over or status.state is State.UNKNOWN:
            break
        if failure:
            raise failure
        time.sleep(_LOOK_SECONDS)
    values = told.values_of(record).changes()
    ended = learnt(run, status, asked)
    store.change(Change(run.run_id, ended.asked, {**values, **ended.fields}))
    now = store.get(run.run_id) or run
    deadline = time.monotonic() + _CANCEL_SECONDS
    while now.state == State.UNKNOWN and time.monotonic() < deadline:
        # Who has just taken the run away is about to write it down.
        time.sleep(_LOOK_SECONDS / 5)
        now = store.get(run.run_id) or run
    return now


def lines_of(
    run: Run, *, follow: bool, tail: int | None, connect: Connect = backends.connect
) -> Iterator[str]:
    """The run's log, or the last ``tail`` lines of it and what follows: by its backend, else by
    the file in its output folder. Raises what the backend raises where there is no file."""
    file = told.log_file(run)
    try:
        if not run.handle:
            raise BackendError(
                f"{run.run_id} is {run.state}: {run.reason or 'there is no log'}",
                next_step=f"uaitrain show {run.run_id}",
            )
        backend = backend_of(run, connect)
        start = 0
        if tail is not None and follow:
            written = sum(1 for _ in backend.logs(run.handle, follow=False))
            start = max(0, written - tail)
        lines: Iterable[str] = backend.logs(run.handle, follow=follow)
        if tail is not None and not follow:
            lines = _last(lines, tail)
        for number, line in enumerate(lines):
            if number >= start:
                yield line
    except UaitrainError as error:
        if file is None:
            if is_uri(run.output):
                error.next_step = f"it may be in {run.output}/log/{run.run_id}.0.log"
            raise
        kept = told.file_lines(file)
        yield from kept if tail is None else _last(kept, tail)


def error_of(run: Run) -> UaitrainError | None:
    """What to tell about a run that did not end well."""
    if run.state == State.SUCCEEDED:
        return None
    again = f"uaitrain submit {run.backend} --resume {run.run_id}"
    if run.state in (State.STOPPED, State.CANCELLED):
        return TrainingError(
            f"{run.run_id} was {run.state}", run.exit_code or EXIT_TERMINATED, next_step=again
        )
    if run.state == State.FAILED:
        reason = _failure(run) or run.reason or "its log says why"
        code = run.exit_code or 1
        return TrainingError(f"{run.run_id} failed with exit code {code}: {reason}", code)
    return BackendError(
        f"{run.run_id} is {run.state}: {run.reason or 'nobody knows what became of it'}",
        next_step=again,
    )


def _failure(run: Run) -> str:
    from pathlib import Path

    here = run.output and not is_uri(run.output) and Path(run.output).is_absolute()
    return failure_text(Path(run.output), run.created) if here else ""


def _last(lines: Iterable[str], count: int) -> Iterable[str]:
    from collections import deque

    return deque(lines, maxlen=count)
