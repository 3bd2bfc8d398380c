"""``uaitrain submit``: run the packed job where the GPUs are."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uaitrain import settings
from uaitrain.backends import BACKENDS
from uaitrain.cli.access import access_from, add_access_arguments
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UsageError
from uaitrain.spec import CPU, GPU, TrainSpec

if TYPE_CHECKING:
    from uaitrain.access import Access
    from uaitrain.runs.run import Run
    from uaitrain.runs.starting import Start
    from uaitrain.runs.store import Store

_DESCRIPTION = """\
Send the packed job to a backend and come back at once. `uaitrain runs` lists what became of it,
`uaitrain logs RUN --follow` shows its log, `uaitrain cancel RUN` ends it.

backends:
{backends}

The image is named by its digest: what was packed is what runs. Places are paths where the job
runs, or URIs such as s3://bucket/prefix, which the run copies from and to by itself."""

_EXAMPLES = """\
examples:
  uaitrain submit local                      in the background, in Docker or Podman here
  uaitrain submit slurm --gpus 2 --time 12h  the GPU image, from its registry
  uaitrain submit kubernetes --dry-run       print what would be sent, send nothing
  uaitrain submit kubernetes --run-data s3://bucket/mnist --run-output s3://bucket/results
  uaitrain submit local --pack --follow      pack first, show the log, end as the run ends
  uaitrain submit slurm --resume 3f2a1c      start a run again that was stopped or failed
"""

_FIXED_BY_RESUME = {
    "--image": "spec_image",
    "--run-data": "spec_run_data",
    "--run-output": "spec_run_output",
    "--data": "spec_data",
    "--output": "spec_output",
    "--gpus": "spec_resources_gpus",
    "--nodes": "spec_run_nodes",
    "--solver": "spec_solver",
    "--snapshot": "spec_snapshot",
    "--argument": "spec_arguments",
    "--pack": "pack",
    "--cpu, --gpu": "accelerator",
}
"""What a run that is started again has already, by where the parser leaves the flag."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    known = "\n".join(f"  {name:<11} {text}" for name, text in BACKENDS.items())
    parser = subparsers.add_parser(
        "submit",
        usage="uaitrain submit BACKEND [--cpu | --gpu] [--pack] [--dry-run | --follow] "
        "[--resume RUN] [options]",
        help="run the packed job on a backend",
        description=_DESCRIPTION.format(backends=known),
        epilog=_EXAMPLES,
    )
    parser.add_argument("backend", metavar="BACKEND", help=", ".join(BACKENDS))
    device = parser.add_mutually_exclusive_group()
    device.add_argument(
        "--cpu",
        dest="accelerator",
        action="store_const",
        const=CPU,
        help="the CPU image (default on local)",
    )
    device.add_argument(
        "--gpu",
        dest="accelerator",
        action="store_const",
        const=GPU,
        help="the GPU image (default elsewhere)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent")
    parser.add_argument("--pack", action="store_true", help="pack, and push, first")
    parser.add_argument(
        "--resume", metavar="RUN", help="start this run again; it goes on from its last snapshot"
    )
    parser.add_argument(
        "--follow", action="store_true", help="show the log and end as the run ends"
    )
    settings.add_spec_arguments(parser)
    settings.add_ship_arguments(parser)
    add_access_arguments(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.backend not in BACKENDS:
        raise UsageError(
            f"no such backend: {arguments.backend!r}",
            allowed=settings.words(arguments.backend, list(BACKENDS)),
        )
    settings.sort_engine(arguments, "spec_engine")
    if getattr(arguments, "container_engine", None):
        arguments.spec_local_engine = arguments.container_engine
    if arguments.dry_run and (arguments.follow or arguments.pack):
        raise UsageError("--dry-run sends and packs nothing", allowed="--dry-run alone")
    _check_flags(arguments)
    spec = settings.spec_from(arguments)
    access = access_from(arguments, spec.target.host)
    if arguments.resume:
        start = _resumed(arguments, spec, console)
    else:
        start = _started(arguments, spec, access, console)
    if arguments.dry_run:
        if arguments.json:
            console.json(start.request.to_json())
        console.out(start.request.show().rstrip("\n"))
        return EXIT_OK
    return _send(arguments, start, console)


def _check_flags(arguments: argparse.Namespace) -> None:
    """A flag of another backend would do nothing; keys of uaitrain.toml may wait for theirs."""
    from uaitrain.ship_settings import SHIP_SETTINGS

    for setting in SHIP_SETTINGS:
        given = getattr(arguments, f"spec_{setting.destination}") is not None
        if given and setting.table not in ("run", arguments.backend):
            raise UsageError(
                f"{setting.flag} is for runs on {setting.table}, not on {arguments.backend}",
                next_step=f"uaitrain submit {setting.table}, or leave it out",
            )


def _started(
    arguments: argparse.Namespace, spec: TrainSpec, access: Access, console: Console
) -> Start:
    from uaitrain.access import Registries
    from uaitrain.runs import starting

    backend = arguments.backend
    accelerator = arguments.accelerator or starting.default_accelerator(backend)
    if arguments.pack:
        # What cannot be sent is not packed first.
        starting.check(spec, backend, accelerator)
        _pack(spec, starting.options_from(spec, backend), access, console, here=backend == "local")
    return starting.first(spec, backend, accelerator, Registries(access))


def _resumed(arguments: argparse.Namespace, spec: TrainSpec, console: Console) -> Start:
    from uaitrain.cli.runs import fresh
    from uaitrain.runs.starting import once_more
    from uaitrain.runs.store import Store

    for flag, name in _FIXED_BY_RESUME.items():
        if getattr(arguments, name, None):
            raise UsageError(
                f"{flag} and --resume: a run goes on with what it began with",
                allowed="other resources, such as --memory or --time",
            )
    store = Store()
    before = fresh(store, store.find(arguments.resume), console)
    return once_more(spec, arguments.backend, before)


def _pack(
    spec: TrainSpec, options: Mapping[str, Any], access: Access, console: Console, *, here: bool
) -> None:
    """Pack to where the backend takes the image from."""
    from uaitrain.destinations import PackOptions
    from uaitrain.flow import pack

    layout = options.get("slurm.layout")
    chosen = PackOptions(
        folder=Path.cwd(),
        access=access,
        push=not here and not layout,
        load=here or bool(layout),
        engine=options.get("local.engine") or None,
        layout=Path(layout).expanduser().absolute() if layout else None,
    )
    for accelerator, report in pack(spec, chosen, console).places:
        console.note(f"{accelerator} image -> {report.place}: {report}")


def _send(arguments: argparse.Namespace, start: Start, console: Console) -> int:
    from uaitrain.cli.main import Terminated
    from uaitrain.runs.store import Store
    from uaitrain.runs.submission import send

    run = start.run
    if hasattr(start.place, "progress"):
        # A backend that unpacks images here shows how far it is.
        start.place.progress = console.progress
    store = Store()
    console.note(f"submitting {run.run_id} to {run.backend}")
    try:
        sent = send(store, start.place, start.request, run, again=start.again)
    except (KeyboardInterrupt, Terminated):
        console.note(f"uaitrain show {run.run_id} tells whether it was sent")
        raise
    if arguments.follow:
        return _follow(arguments, store, sent, console)
    console.out(sent.run_id)
    console.note(
        f"sent as {sent.handle}; uaitrain logs {sent.run_id} --follow shows its log, uaitrain "
        f"cancel {sent.run_id} ends it"
    )
    if arguments.json:
        console.json(sent.to_json())
    return EXIT_OK


def _follow(arguments: argparse.Namespace, store: Store, run: Run, console: Console) -> int:
    from uaitrain.cli.main import Terminated
    from uaitrain.runs.following import error_of, follow

    try:
        ended = follow(store, run, console.out)
    except (KeyboardInterrupt, Terminated, BrokenPipeError):
        console.note(
            f"{run.run_id} goes on: uaitrain logs {run.run_id} --follow, uaitrain cancel "
            f"{run.run_id}"
        )
        raise
    if arguments.json:
        console.json(ended.to_json())
    if error := error_of(ended):
        if not arguments.json:
            raise error
        console.note(str(error))
        return error.exit_code
    console.note(f"{ended.run_id}: {ended.state}")
    return ended.exit_code or EXIT_OK
