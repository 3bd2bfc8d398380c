"""``uaitrain submit``: run the packed job where the GPUs are."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
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
    parser.add_argument("backend", metavar="BACKEND", choices=BACKENDS, help=", ".join(BACKENDS))
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
    if getattr(arguments, "container_engine", None):
        arguments.spec_local_engine = arguments.container_engine
    if arguments.dry_run and (arguments.follow or arguments.pack):
        raise UsageError("--dry-run sends and packs nothing", allowed="--dry-run alone")
    _check_flags(arguments)
    spec = settings.spec_from(arguments)
    access = access_from(arguments, spec.target.host)
    options = _options(spec, arguments.backend)
    if arguments.resume:
        return _resume(arguments, spec, options, console)
    return _start(arguments, spec, options, access, console)


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


def _options(spec: TrainSpec, backend: str) -> dict[str, Any]:
    from uaitrain.ship_settings import table

    return {setting.key: spec.ship[setting.key] for setting in table(backend)}


def _start(
    arguments: argparse.Namespace,
    spec: TrainSpec,
    options: dict[str, Any],
    access: Access,
    console: Console,
) -> int:
    from uaitrain.access import Registries
    from uaitrain.backends import connect
    from uaitrain.runs import packed, shipping
    from uaitrain.runs.identity import new_run_id
    from uaitrain.runs.run import Run
    from uaitrain.runs.submitter import this_process

    backend = arguments.backend
    accelerator = arguments.accelerator or (CPU if backend == "local" else GPU)
    place = connect(backend, options)
    now = time.time()
    wanted = shipping.Wanted(backend, accelerator, new_run_id(spec.target.image, now), "")
    # Whatever the settings have that cannot be is told before anything is packed or asked.
    job = shipping.plan(spec, wanted, os.environ)
    if arguments.pack:
        _pack(spec, backend, options, access, console)
    image = packed.find(spec, accelerator, backend, options, Registries(access))
    job = replace(job, image=image.reference)
    request = place.render(job)
    if arguments.dry_run:
        return _show(arguments, request, console)
    data, output = shipping.places(spec, backend)
    run = Run(
        run_id=job.run_id,
        name=spec.target.image,
        backend=backend,
        options=options,
        job=job,
        image=image.name,
        digest=image.digest,
        data=data,
        output=output,
        created=now,
        updated=now,
        submitter=this_process(),
    )
    return _send(arguments, place, request, run, console, again=False)


def _resume(
    arguments: argparse.Namespace, spec: TrainSpec, options: dict[str, Any], console: Console
) -> int:
    from uaitrain.backends import connect
    from uaitrain.cli.runs import fresh
    from uaitrain.runs import shipping
    from uaitrain.runs.refresh import options_of
    from uaitrain.runs.store import Store
    from uaitrain.runs.submission import CAN_GO_ON
    from uaitrain.runs.submitter import this_process
    from uaitrain.ship_settings import table

    for flag, name in _FIXED_BY_RESUME.items():
        if getattr(arguments, name, None):
            raise UsageError(
                f"{flag} and --resume: a run goes on with what it began with",
                allowed="other resources, such as --memory or --time",
            )
    store = Store()
    before = fresh(store, store.find(arguments.resume), console)
    if before.name != spec.target.image:
        raise UsageError(
            f"{before.run_id} is a run of {before.name}, and this is the job {spec.target.image}",
            next_step="call it in the folder of that job, or with its --file",
        )
    if before.state not in CAN_GO_ON:
        raise UsageError(
            f"{before.run_id} is {before.state}",
            allowed="a run that is " + ", ".join(CAN_GO_ON),
            next_step=f"uaitrain show {before.run_id}",
        )
    if arguments.backend == before.backend:
        defaults = {setting.key: setting.default for setting in table(before.backend)}
        was = options_of(before)
        options = {k: was[k] if options[k] == defaults[k] else options[k] for k in defaults}
    places = {"run.data": before.data, "run.output": before.output}
    spec = replace(spec, ship={**spec.ship, **places})
    accelerator = GPU if before.job.gpus else CPU
    wanted = shipping.Wanted(arguments.backend, accelerator, before.run_id, before.job.image)
    job = shipping.resumed(before.job, shipping.plan(spec, wanted, os.environ))
    place = connect(arguments.backend, options)
    request = place.render(job)
    if arguments.dry_run:
        return _show(arguments, request, console)
    run = replace(
        before, backend=arguments.backend, options=options, job=job, submitter=this_process()
    )
    return _send(arguments, place, request, run, console, again=True)


def _show(arguments: argparse.Namespace, request: Any, console: Console) -> int:
    if arguments.json:
        console.json(request.to_json())
    console.out(request.show().rstrip("\n"))
    return EXIT_OK


def _pack(
    spec: TrainSpec, backend: str, options: dict[str, Any], access: Access, console: Console
) -> None:
    """Pack to where the backend takes the image from."""
    from uaitrain.destinations import PackOptions
    from uaitrain.flow import pack

    layout = options.get("slurm.layout")
    here = backend == "local"
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


def _send(
    arguments: argparse.Namespace,
    place: Any,
    request: Any,
    run: Run,
    console: Console,
    *,
    again: bool,
) -> int:
    from uaitrain.cli.main import Terminated
    from uaitrain.runs.store import Store
    from uaitrain.runs.submission import send

    if hasattr(place, "progress"):
        # A backend that unpacks images here shows how far it is.
        place.progress = console.progress
    store = Store()
    console.note(f"submitting {run.run_id} to {run.backend}")
    try:
        sent = send(store, place, request, run, again=again)
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
