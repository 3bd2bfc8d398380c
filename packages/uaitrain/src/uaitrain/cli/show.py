"""``uaitrain show``: everything about one run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UaitrainError

if TYPE_CHECKING:
    from uaitrain.runs.run import Run

_DESCRIPTION = """\
Show one run: where it is, from which image, with what, and what it told last. RUN is its id, or
what the id begins or ends with where only one does."""

_EXAMPLES = """\
examples:
  uaitrain show 3f2a1c
  uaitrain show mnist-20261124-191500-3f2a1c --json
"""

_ASK_SECONDS = 10.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "show", help="everything about one run", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("run", metavar="RUN")


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.cli.runs import waiting
    from uaitrain.runs.refresh import refresh
    from uaitrain.runs.store import Store

    store = Store()
    wanted = store.find(arguments.run)
    with waiting(console):
        found = refresh(store, [wanted], _ASK_SECONDS)
    (run,) = found.runs
    for name, reason in found.reasons.items():
        console.warn(f"{name}: {reason}; these are the last known values")
    info = {} if found.unheard else _info(run, console)
    if arguments.json:
        console.json({**run.to_json(), "current": not found.unheard, "info": info})
        return EXIT_OK
    console.out(run.run_id)
    for name, value in _rows(run, unheard=bool(found.unheard)):
        if value:
            console.out(f"  {name:<10}{value}")
    for name, value in info.items():
        console.out(f"  {name:<10}{value}")
    return EXIT_OK


def _info(run: Run, console: Console) -> dict[str, str]:
    """What only the run's backend knows of it, such as its price; most backends know nothing."""
    from uaitrain.runs.refresh import backend_of

    place = backend_of(run)
    if not run.handle or not hasattr(place, "info"):
        return {}
    try:
        return dict(place.info(run.handle))
    except UaitrainError as error:
        console.warn(f"{run.backend}: {error.what}")
        return {}


def _rows(run: Run, *, unheard: bool) -> Iterator[tuple[str, str]]:
    from uaitrain.cli.runs import iterations
    from uaitrain.runs import told
    from uaitrain.runs.live import percent
    from uaitrain.shell import quote
    from uaitrain.units import human_bytes

    code = "" if run.exit_code is None else f", exit code {run.exit_code}"
    reason = f": {run.reason}" if run.reason else ""
    yield "state", f"{run.state}{'?' if unheard else ''}{code}{reason}"
    yield "backend", f"{run.backend} {run.handle}".strip()
    yield "image", f"{run.image} {run.digest}"
    yield "submitted", _when(run.created)
    yield "changed", _when(run.updated)
    yield "iteration", iterations(run)
    yield "loss", "" if run.loss is None else f"{run.loss:.6g}"
    yield "accuracy", "" if run.accuracy is None else percent(run.accuracy)
    yield "data", run.data
    yield "output", run.output
    yield "log", str(told.log_file(run) or "")
    job = run.job
    yield "gpus", str(job.gpus or "")
    yield "nodes", str(job.nodes) if job.nodes > 1 else ""
    yield "cpus", str(job.cpus or "")
    yield "memory", human_bytes(job.memory_bytes) if job.memory_bytes else ""
    yield "secrets", ", ".join(job.secrets)
    yield "command", " ".join(quote(word) for word in job.argv)


def _when(seconds: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
