"""``uaitrain test``: train here, in the packed image, and watch."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from uaitrain import settings
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UsageError
from uaitrain.spec import CPU, GPU, TrainSpec

if TYPE_CHECKING:
    from uaitrain.runs.live import View
    from uaitrain.runs.outcome import Outcome

_DESCRIPTION = """\
Run the local test: the packed image with your data and output folders, one line of progress,
then a summary with the loss curve. The results are yours, not root's. Ctrl-C stops after a
snapshot (go on with --snapshot auto), a second one at once. The exit code is the run's."""

_EXAMPLES = """\
examples:
  uaitrain test                          the job of ./uaitrain.toml, in its CPU image
  uaitrain test --snapshot auto          go on from the newest complete snapshot
  uaitrain test --log | tee run.txt      the whole log, also into a file
  uaitrain test --rehearse-preemption --iterations 200    stop it, kill it, start it again
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "test", help="run the local test here", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    device = parser.add_mutually_exclusive_group()
    device.add_argument(
        "--cpu", dest="accelerator", action="store_const", const=CPU, help="the default"
    )
    device.add_argument("--gpu", dest="accelerator", action="store_const", const=GPU)
    parser.add_argument("--container-engine", metavar="NAME", help="docker or podman")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--log", action="store_true", help="show the whole log as it comes")
    shown.add_argument(
        "--interactive", action="store_true", help="give the run this terminal, unwatched"
    )
    shown.add_argument("--dry-run", action="store_true", help="print the command, run nothing")
    rehearsal = parser.add_argument_group("the rehearsal")
    rehearsal.add_argument(
        "--rehearse-preemption",
        action="store_true",
        help="stop, kill and start the run again, and prove that nothing is lost",
    )
    rehearsal.add_argument(
        "--iterations",
        type=int,
        default=0,
        metavar="N",
        help="rehearse with a solver of N iterations (default: the solver as it is)",
    )
    parser.set_defaults(accelerator=CPU)
    settings.add_spec_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.engines import require_engine
    from uaitrain.engines.facts import local_facts
    from uaitrain.runs import local_test

    spec = settings.spec_from(arguments)
    if arguments.iterations and not arguments.rehearse_preemption:
        raise UsageError("--iterations is for --rehearse-preemption", next_step="give both")
    if arguments.rehearse_preemption:
        if arguments.interactive or arguments.dry_run:
            raise UsageError("--rehearse-preemption starts the run by itself, several times")
        return _rehearse(arguments, spec, console)
    if arguments.dry_run:
        return _dry_run(arguments, spec, console)
    if arguments.interactive and not sys.stdin.isatty():
        raise UsageError("--interactive needs a terminal", next_step="leave --interactive out")
    engine = require_engine(arguments.container_engine)
    facts = local_facts(engine)
    job = local_test.prepare(spec, arguments.accelerator, engine, facts)
    if arguments.interactive:
        return local_test.run_interactive(job, engine, facts)
    console.note(f"training in {job.image} with {engine.program}; results go to {spec.output}")
    view = _view(arguments, console)
    outcome = local_test.run(spec, job, engine, facts, view, console.note)
    if arguments.json:
        console.json(outcome.to_json())
    else:
        _summarise(outcome, console)
    if error := outcome.error():
        if not arguments.json:
            raise error
        console.note(str(error))
        return error.exit_code
    return outcome.exit_code


def _rehearse(arguments: argparse.Namespace, spec: TrainSpec, console: Console) -> int:
    from uaitrain.engines import require_engine
    from uaitrain.engines.facts import local_facts
    from uaitrain.runs.attempts import Attempts
    from uaitrain.runs.live import LiveLine, NoView, WholeLog
    from uaitrain.runs.rehearsal import rehearse
    from uaitrain.runs.rehearsal_job import prepared

    engine = require_engine(arguments.container_engine)
    facts = local_facts(engine)
    view: View = NoView()
    if arguments.log:
        view = WholeLog(sys.stderr if arguments.json else sys.stdout)
    elif console.is_terminal and not arguments.quiet:
        view = LiveLine(sys.stderr)
    with prepared(spec, arguments.accelerator, engine, facts, arguments.iterations) as (
        job,
        output,
    ):
        console.note(f"rehearsing with {job.image}; your output folder is left alone")
        attempts = Attempts(job, output, engine, facts, view)
        done = rehearse(attempts, lambda claim: console.out(str(claim)))
    if arguments.json:
        console.json(done.to_json())
    if error := done.error():
        if not arguments.json:
            raise error
        console.note(str(error))
        return error.exit_code
    return EXIT_OK


def _dry_run(arguments: argparse.Namespace, spec: TrainSpec, console: Console) -> int:
    from uaitrain.engines import find_engine
    from uaitrain.engines.facts import local_facts
    from uaitrain.runs import local_test
    from uaitrain.runs.container import new_name
    from uaitrain.shell import quote

    facts = local_facts(find_engine(arguments.container_engine))
    job = local_test.plan(spec, arguments.accelerator, facts)
    argv = local_test.request(job, None, facts, new_name()).argv
    if arguments.json:
        console.json(list(argv))
    console.out(" ".join(quote(word) for word in argv))
    return EXIT_OK


def _view(arguments: argparse.Namespace, console: Console) -> View:
    from uaitrain.runs.live import LiveLine, NoView, PlainLines, WholeLog

    stream = sys.stderr if arguments.json else sys.stdout
    if arguments.log:
        return WholeLog(stream)
    if arguments.quiet:
        return NoView()
    return LiveLine(sys.stderr) if console.is_terminal else PlainLines(stream)


def _summarise(outcome: Outcome, console: Console) -> None:
    from uaitrain.runs.live import duration, percent
    from uaitrain.runs.term_plot import plot

    record = outcome.record
    if drawn := plot(record.losses, "loss"):
        console.out(drawn + "\n")
    total = f" of {record.max_iter}" if record.max_iter else ""
    ended = "finished" if outcome.exit_code == 0 else "ended early"
    if outcome.stopped and outcome.snapshot_kept:
        ended = "stopped after a snapshot; --snapshot auto goes on from it"
    console.out(f"{ended}: {record.iteration}{total} iterations in {duration(outcome.seconds)}")
    rows = (
        ("loss", f"{record.loss:.4g}" if record.loss is not None else ""),
        ("accuracy", "".join(f"{percent(v)} (iteration {at})" for at, v in record.accuracies[-1:])),
        ("weights", str(outcome.weights or "")),
        ("log", str(outcome.log or "")),
        ("curve", str(outcome.curve or "")),
    )
    for name, value in rows:
        if value:
            console.out(f"  {name:<9}{value}")
