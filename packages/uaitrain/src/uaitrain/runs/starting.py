"""A run as it is about to be sent: for the first time, or once more."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from uaitrain.access import Registries
from uaitrain.backends import Backend, Rendered, connect
from uaitrain.errors import UsageError
from uaitrain.runs import packed, shipping
from uaitrain.runs.identity import new_run_id
from uaitrain.runs.refresh import options_of
from uaitrain.runs.run import Run
from uaitrain.runs.submission import CAN_GO_ON
from uaitrain.runs.submitter import this_process
from uaitrain.ship_settings import table
from uaitrain.spec import CPU, GPU, TrainSpec

_NO_DIGEST = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class Start:
    """``request`` is what ``place`` will get for ``run``; ``again`` when the store has it."""

    place: Backend
    request: Rendered
    run: Run
    again: bool


def options_from(spec: TrainSpec, backend: str) -> dict[str, Any]:
    """The settings of the table ``backend``."""
    return {setting.key: spec.ship[setting.key] for setting in table(backend)}


def default_accelerator(backend: str) -> str:
    """Clusters are where the GPUs are."""
    return CPU if backend == "local" else GPU


def check(spec: TrainSpec, backend: str, accelerator: str) -> None:
    """Raises UsageError for what could not be sent, whatever image is packed."""
    place = connect(backend, options_from(spec, backend))
    image = f"{spec.target.gpu}@{_NO_DIGEST}"
    wanted = shipping.Wanted(backend, accelerator, new_run_id(spec.target.image, 0.0), image)
    place.render(shipping.plan(spec, wanted, os.environ))


def first(spec: TrainSpec, backend: str, accelerator: str, registries: Registries) -> Start:
    """A new run of the packed image. Raises UsageError, and what the place of the image raises."""
    options, now = options_from(spec, backend), time.time()
    place = connect(backend, options)
    wanted = shipping.Wanted(backend, accelerator, new_run_id(spec.target.image, now), "")
    job = shipping.plan(spec, wanted, os.environ)
    image = packed.find(spec, accelerator, backend, options, registries)
    job = replace(job, image=image.reference)
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
    return Start(place, place.render(job), run, again=False)


def once_more(spec: TrainSpec, backend: str, before: Run) -> Start:
    """``before`` on ``backend``, with the resources that ``spec`` says. Raises UsageError."""
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
    options = options_from(spec, backend)
    if backend == before.backend:
        options = _carried(options, before)
    places = {"run.data": before.data, "run.output": before.output}
    spec = replace(spec, ship={**spec.ship, **places})
    accelerator = GPU if before.job.gpus else CPU
    wanted = shipping.Wanted(backend, accelerator, before.run_id, before.job.image)
    job = shipping.resumed(before.job, shipping.plan(spec, wanted, os.environ))
    place = connect(backend, options)
    run = replace(before, backend=backend, options=options, job=job, submitter=this_process())
    return Start(place, place.render(job), run, again=True)


def _carried(options: Mapping[str, Any], before: Run) -> dict[str, Any]:
    """What is not said now is as it was."""
    was = options_of(before)
    defaults = {setting.key: setting.default for setting in table(before.backend)}
    return {
        key: was[key] if options[key] == default else options[key]
        for key, default in defaults.items()
    }
