"""``uaitrain runs``: what became of everything that was submitted from here."""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from uaitrain.backends import BACKENDS
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, BackendError, UsageError

if TYPE_CHECKING:
    from uaitrain.runs.run import Run
    from uaitrain.runs.store import Store

_DESCRIPTION = """\
List the runs that were submitted from this machine: those that are not over, and those of the
last seven days. Every backend is asked at the same time; one that does not answer in time leaves
the last known values, marked with a question mark."""

_EXAMPLES = """\
examples:
  uaitrain runs
  uaitrain runs --all --backend slurm
  uaitrain runs --json | jq '.[] | select(.state == "running") | .run_id'
"""

_RECENT_SECONDS = 7 * 86400
_ASK_SECONDS = 5.0
_ASK_ONE_SECONDS = 60.0
_PATIENCE_SECONDS = 1.0
_HEADINGS = ("RUN", "BACKEND", "IMAGE", "STATE", "ITERATION", "LOSS", "ACCURACY", "AGE")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "runs", help="list the submitted runs", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("--backend", choices=BACKENDS, default="", help="runs of this one alone")
    parser.add_argument("--all", action="store_true", help="old runs, too")
    parser.add_argument(
        "--wait",
        type=float,
        default=_ASK_SECONDS,
        metavar="SECONDS",
        help=f"how long backends may take to answer (default: {_ASK_SECONDS:g}; 0 asks nobody)",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.runs.refresh import refresh
    from uaitrain.runs.store import Store

    if not 0 <= arguments.wait <= 3600:
        raise UsageError(f"--wait {arguments.wait:g}", allowed="0 to 3600 seconds")
    store, now = Store(), time.time()
    wanted = [
        run
        for run in store.all(arguments.backend)
        if arguments.all or not run.is_over or now - run.created < _RECENT_SECONDS
    ]
    with waiting(console):
        found = refresh(store, wanted, arguments.wait)
    for name, reason in found.reasons.items():
        if arguments.wait:
            console.warn(f"{name}: {reason}")
    if arguments.json:
        console.json(
            [{**run.to_json(), "current": run.run_id not in found.unheard} for run in found.runs]
        )
        return EXIT_OK
    if not found.runs:
        console.note("no runs" if arguments.all else "no runs of late; --all shows old ones")
        return EXIT_OK
    rows = [_HEADINGS, *(_row(run, run.run_id in found.unheard, now) for run in found.runs)]
    console.out("\n".join(_aligned(rows)))
    return EXIT_OK


def fresh(store: Store, run: Run, console: Console) -> Run:
    """``run`` as its backend has it now. Raises BackendError where that cannot be learnt."""
    from uaitrain.runs.refresh import refresh

    with waiting(console):
        found = refresh(store, [run], _ASK_ONE_SECONDS)
    if found.unheard:
        raise BackendError(
            f"{run.backend} cannot be asked about {run.run_id}: {found.reasons[run.backend]}",
            next_step="try again when it can be reached",
        )
    return found.runs[0]


@contextlib.contextmanager
def waiting(console: Console) -> Iterator[None]:
    """Tells a person at a terminal what takes so long, once it does."""
    timer = threading.Timer(_PATIENCE_SECONDS, console.note, ["waiting for the backends …"])
    timer.daemon = True
    if console.is_terminal:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def short_digest(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def iterations(run: Run) -> str:
    if run.iteration is None:
        return ""
    return f"{run.iteration}/{run.max_iter}" if run.max_iter else str(run.iteration)


def _row(run: Run, unheard: bool, now: float) -> tuple[str, ...]:
    from uaitrain.runs.live import duration, percent

    return (
        run.run_id,
        run.backend,
        short_digest(run.digest),
        f"{run.state}?" if unheard else run.state,
        iterations(run),
        "" if run.loss is None else f"{run.loss:.4g}",
        "" if run.accuracy is None else percent(run.accuracy),
        duration(max(0.0, now - run.created)),
    )


def _aligned(rows: Sequence[Iterable[str]]) -> list[str]:
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
