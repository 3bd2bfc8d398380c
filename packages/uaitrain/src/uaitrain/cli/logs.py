"""``uaitrain logs``: what a run has written."""

from __future__ import annotations

import argparse

from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UsageError

_DESCRIPTION = """\
Print the log of a run: as its backend has it, else the file in its output folder. RUN is its id,
or what the id begins or ends with where only one does."""

_EXAMPLES = """\
examples:
  uaitrain logs 3f2a1c --tail 20
  uaitrain logs 3f2a1c --follow      until the run is over; Ctrl-C leaves the run alone
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "logs", help="what a run has written", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--follow", action="store_true", help="go on until the run is over")
    parser.add_argument("--tail", type=int, metavar="N", help="only the last N lines")


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.runs.following import lines_of
    from uaitrain.runs.store import Store

    if arguments.tail is not None and arguments.tail < 0:
        raise UsageError(f"--tail {arguments.tail}", allowed="0 or more")
    if arguments.follow and arguments.json:
        raise UsageError("--json is one value, and --follow has no end", allowed="one of them")
    found = Store().find(arguments.run)
    lines = lines_of(found, follow=arguments.follow, tail=arguments.tail)
    if arguments.json:
        console.json({"run_id": found.run_id, "lines": list(lines)})
        return EXIT_OK
    for line in lines:
        console.out(line)
    return EXIT_OK
