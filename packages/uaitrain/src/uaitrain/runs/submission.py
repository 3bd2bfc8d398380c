"""Sending a run so that it is never lost: it is written down first, and sent then."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from uaitrain.backends import Backend, Rendered, State
from uaitrain.errors import UaitrainError
from uaitrain.runs.refresh import learnt
from uaitrain.runs.run import SUBMITTING, Change, Run
from uaitrain.runs.store import Store

CAN_GO_ON = (State.STOPPED, State.FAILED, State.CANCELLED, State.UNKNOWN)
"""The states from which a run can be started again."""


def send(store: Store, backend: Backend, request: Rendered, run: Run, *, again: bool) -> Run:
    """Send ``request``, which is ``run``; with ``again`` the store has the run already.

    Raises what ``submit`` of the backend does. Then the store is as it was, unless the backend
    has the run all the same; where it cannot be asked, the run stays as SUBMITTING, and the next
    look at the runs decides.
    """
    before = store.get(run.run_id) if again else None
    began = time.time()
    if before is None:
        store.add(run)
    else:
        fresh: dict[str, Any] = {"handle": "", "exit_code": None, "reason": ""}
        fresh |= {name: getattr(run, name) for name in ("backend", "options", "job", "submitter")}
        store.change(Change(run.run_id, began, {**fresh, "state": SUBMITTING}))
    try:
        handle = backend.submit(request)
    except UaitrainError as error:
        _settle(store, backend, run, before, error)
        raise
    sent = {"handle": handle, "state": str(State.QUEUED)}
    store.change(Change(run.run_id, time.time(), sent))
    return store.get(run.run_id) or run


def _settle(
    store: Store, backend: Backend, run: Run, before: Run | None, error: UaitrainError
) -> None:
    """After a failure: did the backend get the run?"""
    asked = time.time()
    try:
        listed = [status for status in backend.list() if status.run_id == run.run_id]
    except UaitrainError:
        store.change(Change(run.run_id, asked, {"reason": error.what}))
        return
    if before is not None:
        started = [s for s in listed[:1] if s.handle != before.handle or not s.state.is_over]
        change = learnt(run, started[0], asked) if started else None
        store.change(change or Change(run.run_id, asked, _fields(before)))
    elif listed:
        store.change(learnt(run, listed[0], asked))
    else:
        store.remove(run.run_id)


def _fields(run: Run) -> Mapping[str, Any]:
    names = ("handle", "state", "exit_code", "reason", "backend", "options", "job", "submitter")
    return {name: getattr(run, name) for name in names}
