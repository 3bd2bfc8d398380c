"""``uaitrain cancel``: end a run; nothing of it runs any more when this is done."""

from __future__ import annotations

import argparse
import time

from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, BackendError

_DESCRIPTION = """\
Ask a run to write a snapshot and end, wait until nothing of it runs any more, and make sure of
that. RUN is its id, or what the id begins or ends with where only one does. `uaitrain submit
BACKEND --resume RUN` goes on from the snapshot."""

_EXAMPLES = """\
examples:
  uaitrain cancel 3f2a1c
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "cancel", help="end a run", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("run", metavar="RUN")


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.cli.runs import fresh
    from uaitrain.runs.cancelling import cancel
    from uaitrain.runs.store import Store

    store = Store()
    run = fresh(store, store.find(arguments.run), console)
    if not run.handle and not run.is_over:
        raise BackendError(
            f"{run.run_id} is still being submitted",
            next_step="stop that uaitrain submit, or try again in a moment",
        )
    if run.is_over:
        console.note(f"{run.run_id} is over already: {run.state}")
    else:
        console.note(f"ending {run.run_id}; it gets time for a snapshot")
        began = time.monotonic()
        run = cancel(store, run)
        took = time.monotonic() - began
        console.note(f"{run.run_id}: {run.state} after {took:.1f} s; nothing of it runs any more")
    if arguments.json:
        console.json(run.to_json())
    return EXIT_OK
