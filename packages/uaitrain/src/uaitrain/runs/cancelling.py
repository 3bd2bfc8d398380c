"""Ending a run, and making sure that it has ended."""

from __future__ import annotations

import time

from uaitrain import backends
from uaitrain.backends import State
from uaitrain.errors import BackendError
from uaitrain.runs import told
from uaitrain.runs.refresh import Connect, backend_of
from uaitrain.runs.run import Change, Run
from uaitrain.runs.store import Store

_LAST_OWN_CODE = 127
"""What is above comes from a kill: ours, when it happens while we end the run."""


def cancel(store: Store, run: Run, connect: Connect = backends.connect) -> Run:
    """End ``run``; a run that finished or failed in that very moment stays what it is.

    Raises what the backend raises, and BackendError when the run is still there afterwards.
    """
    backend = backend_of(run, connect)
    backend.cancel(run.handle)
    asked = time.time()
    status = backend.status([run.handle])[run.handle]
    if not status.state.is_over and status.state is not State.UNKNOWN:
        raise BackendError(
            f"{run.backend} was told to end {run.run_id}, which is still {status.state}",
            next_step=f"uaitrain cancel {run.run_id} once more, or the backend's own tools",
        )
    itself = status.state in (State.SUCCEEDED, State.FAILED) and (
        status.exit_code is not None and status.exit_code <= _LAST_OWN_CODE
    )
    code = status.exit_code if status.exit_code is not None else told.exit_code(run)
    fields = {
        "state": str(status.state if itself else State.CANCELLED),
        "exit_code": code,
        "reason": "" if not itself else status.reason,
    }
    values = {}
    if path := told.log_file(run):
        values = told.values_from_file(path).changes()
    store.change(Change(run.run_id, asked, {**values, **fields}))
    return store.get(run.run_id) or run
