"""``uaitrain check``: preflight alone."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from uaitrain.cli.access import access_from, add_access_arguments
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, PreflightError
from uaitrain.settings import add_spec_arguments, spec_from

_EXAMPLES = """\
examples:
  uaitrain check                          the job of ./uaitrain.toml
  uaitrain check --json                   the findings for a program

Exit code 0 when nothing would make the job fail (warnings may remain), 3 when something would.
The checks are listed in docs/manual/preflight.md.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "check",
        help="find what would make the job fail, before anything is built",
        description="Find what would make the job fail or lose its results. Builds nothing.",
        epilog=_EXAMPLES,
    )
    add_spec_arguments(parser)
    add_access_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.access import Registries
    from uaitrain.flow import prepare
    from uaitrain.preflight.render import render
    from uaitrain.runlog import RunLog

    spec = spec_from(arguments)
    registries = Registries(access_from(arguments, spec.target.host))
    prepared = prepare(spec, registries, RunLog())
    for remark in prepared.remarks:
        console.note(remark)
    if arguments.json:
        rows = [asdict(f) | {"severity": f.severity.value} for f in prepared.findings]
        engine = asdict(prepared.engine) if prepared.engine else None
        console.json({"findings": rows, "errors": len(prepared.errors), "engine": engine})
        return PreflightError.exit_code if prepared.errors else EXIT_OK
    console.out(render(prepared.findings) if prepared.findings else "nothing found: ready to pack")
    if prepared.engine and prepared.engine.facts:
        from uaitrain.preflight.engine import summary

        console.out(summary(prepared.engine.facts))
    return PreflightError.exit_code if prepared.errors else EXIT_OK
