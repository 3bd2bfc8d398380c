"""What became of runs: every backend is asked at the same time, and none is waited for longer
than told. A cluster that does not answer leaves what was known."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uaitrain import backends
from uaitrain.backends import Backend, State, Status
from uaitrain.errors import EXIT_OK, EXIT_TERMINATED, UaitrainError
from uaitrain.runs import told
from uaitrain.runs.run import SUBMITTING, Change, Run
from uaitrain.runs.store import Store
from uaitrain.runs.submitter import may_still_send
from uaitrain.ship_settings import table

Connect = Callable[[str, Mapping[str, Any]], Backend]


@dataclass(frozen=True)
class Refreshed:
    """``unheard`` are the ids of the runs whose backend did not answer; ``reasons`` says why, by
    backend."""

    runs: tuple[Run, ...]
    unheard: frozenset[str]
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class _Done:
    """A backend has answered everything, or said why not."""

    backend: str
    error: Exception | None


def options_of(run: Run) -> Mapping[str, Any]:
    """The settings of the run's backend, complete also after an update brought new ones."""
    defaults = {setting.key: setting.default for setting in table(run.backend)}
    return defaults | {key: run.options[key] for key in defaults if key in run.options}


def backend_of(run: Run, connect: Connect = backends.connect) -> Backend:
    return connect(run.backend, options_of(run))


def refresh(
    store: Store, runs: Sequence[Run], seconds: float, connect: Connect = backends.connect
) -> Refreshed:
    """Ask for the ``runs`` that are not over, write down what was learnt, give them as they are.

    Ends after ``seconds`` at the latest, whatever a backend does.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if not run.is_over:
            options = json.dumps(dict(options_of(run)), sort_keys=True)
            groups.setdefault((run.backend, options), []).append(run)
    heard: queue.SimpleQueue[Change | _Done] = queue.SimpleQueue()
    for (name, _), group in groups.items():
        # A daemon: one that hangs must not keep the process.
        threading.Thread(target=_ask, args=(name, group, connect, heard), daemon=True).start()
    changes, reasons = _collect(heard, len(groups), time.monotonic() + seconds)
    store.change(*changes)
    answered = {change.run_id for change in changes}
    asked = {run.run_id for group in groups.values() for run in group}
    now = {run.run_id: run for run in store.all()} if changes else {}
    for group in groups.values():
        if not answered.issuperset(run.run_id for run in group):
            reasons.setdefault(group[0].backend, f"did not answer within {seconds:g} s")
    return Refreshed(
        tuple(now.get(run.run_id, run) for run in runs), frozenset(asked - answered), reasons
    )


def learnt(run: Run, status: Status, asked: float) -> Change:
    """What ``status`` says about ``run``."""
    fields: dict[str, Any] = {"reason": status.reason, "exit_code": status.exit_code}
    state = status.state
    if state is State.UNKNOWN:
        # The backend has forgotten the run; what the launcher noted is left.
        code = told.exit_code(run)
        fields = {"reason": status.reason or f"{run.backend} does not know it any more"}
        if code is not None:
            state, fields = _state_of(code), {"exit_code": code, "reason": ""}
    return Change(run.run_id, asked, {**fields, "state": str(state), "handle": status.handle})


def _state_of(code: int) -> State:
    if code == EXIT_OK:
        return State.SUCCEEDED
    return State.STOPPED if code == EXIT_TERMINATED else State.FAILED


def _collect(
    heard: queue.SimpleQueue[Change | _Done], groups: int, deadline: float
) -> tuple[list[Change], dict[str, str]]:
    changes: list[Change] = []
    reasons: dict[str, str] = {}
    while groups and (left := deadline - time.monotonic()) > 0:
        try:
            item = heard.get(timeout=left)
        except queue.Empty:
            break
        if isinstance(item, Change):
            changes.append(item)
            continue
        groups -= 1
        if isinstance(item.error, UaitrainError):
            reasons[item.backend] = item.error.what
        elif item.error:
            raise item.error
    return changes, reasons


def _ask(
    name: str, runs: Sequence[Run], connect: Connect, heard: queue.SimpleQueue[Change | _Done]
) -> None:
    try:
        backend = connect(name, options_of(runs[0]))
        for change in _changes(backend, runs):
            heard.put(change)
    except Exception as error:  # noqa: BLE001 - raised again where the answers are collected
        heard.put(_Done(name, error))
    else:
        heard.put(_Done(name, None))


def _changes(backend: Backend, runs: Sequence[Run]) -> Iterator[Change]:
    asked = time.time()
    sent = [run for run in runs if run.handle]
    statuses = backend.status([run.handle for run in sent]) if sent else {}
    found = [(run, statuses[run.handle]) for run in sent]
    for run, status in found:
        yield learnt(run, status, asked)
    if unsure := [run for run in runs if not run.handle]:
        asked = time.time()
        listed: dict[str, Status] = {}
        for status in backend.list():
            # The newest comes first: an earlier start of a run that was started again is later.
            listed.setdefault(status.run_id, status)
        for run in unsure:
            if run.run_id in listed:
                found.append((run, listed[run.run_id]))
                yield learnt(run, listed[run.run_id], asked)
            else:
                yield _never_sent(run, asked)
    for run, status in found:
        handled = replace(run, handle=status.handle)
        yield Change(run.run_id, time.time(), _values(backend, handled, status))


def _never_sent(run: Run, asked: float) -> Change:
    if may_still_send(run.submitter, run.updated, asked):
        return Change(run.run_id, asked, {"state": SUBMITTING})
    reason = f"it was never sent: {run.reason}" if run.reason else "it was never sent"
    return Change(run.run_id, asked, {"state": str(State.FAILED), "reason": reason})


def _values(backend: Backend, run: Run, status: Status) -> Mapping[str, Any]:
    """What the training told last: by its log file, else by its backend; nothing is fine."""
    if status.state is State.QUEUED:
        return {}
    with contextlib.suppress(OSError, UaitrainError):
        if path := told.log_file(run):
            return told.values_from_file(path).changes()
        if status.state is not State.UNKNOWN:
            return told.values_from(backend.logs(run.handle, follow=False)).changes()
    return {}
