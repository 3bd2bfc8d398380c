"""``uaitrain doctor``: what this machine can do, what is missing, how to get it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UaitrainError

if TYPE_CHECKING:
    from uaitrain.doctor.verdict import Report

_DESCRIPTION = """\
Look at this machine and tell, for each verb, whether it will work and how to get what is
missing. Nothing is changed. The exit code is 0 when packing works, 1 when it does not."""

_EXAMPLES = """\
examples:
  uaitrain doctor
  uaitrain doctor --container-engine podman   whether Podman alone would do
  uaitrain doctor --json                 the verdicts for a program
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="what is missing on this machine",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--container-engine",
        "--engine",
        metavar="NAME",
        help="look at docker or podman alone",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.doctor import examine
    from uaitrain.doctor.verdict import PACK

    report = examine(arguments.container_engine)
    if arguments.json:
        console.json(_as_json(report))
    console.out(_as_text(report, console))
    return UaitrainError.exit_code if report.obstacles(PACK) else EXIT_OK


def _as_json(report: Report) -> dict[str, object]:
    from uaitrain.doctor.verdict import VERBS

    return {
        "verbs": {verb: not report.obstacles(verb) for verb in VERBS},
        "findings": [
            {
                "check": verdict.check,
                "state": verdict.state.value,
                "what": verdict.what,
                "mend": verdict.mend or None,
                "stops": list(verdict.stops),
            }
            for verdict in report.verdicts
        ],
    }


def _as_text(report: Report, console: Console) -> str:
    from uaitrain.doctor.verdict import VERBS, State

    lines = []
    for verb in VERBS:
        obstacles = report.obstacles(verb)
        word = console.paint("red", "not yet") if obstacles else console.paint("green", "ready")
        reasons = "; ".join(verdict.what for verdict in obstacles)
        lines.append(f"{verb:<11} {word}" + (f": {reasons}" if reasons else ""))
    headings = (
        (State.MISSING, "missing"),
        (State.NOTE, "worth knowing"),
        (State.PRESENT, "here"),
    )
    for state, heading in headings:
        chosen = [verdict for verdict in report.verdicts if verdict.state is state]
        if chosen:
            lines += ["", console.paint("bold", heading)]
        for verdict in chosen:
            lines.append(f"  {verdict.what}")
            if verdict.mend:
                lines.append(f"    get it: {verdict.mend}")
    return "\n".join(lines)
