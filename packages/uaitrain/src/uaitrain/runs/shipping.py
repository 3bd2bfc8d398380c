"""From a training job to one run of it on a backend. Pure: nothing is looked up or sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uaitrain.backends import Job, Mount
from uaitrain.commands import run_argv
from uaitrain.errors import UsageError
from uaitrain.settings import parse_size
from uaitrain.spec import DATA_DIR, GPU, OUTPUT_DIR, TrainSpec

RUN_ID = "UAITRAIN_RUN_ID"
DATA = "UAITRAIN_DATA"
OUTPUT = "UAITRAIN_OUTPUT"
SYNC_SECONDS = "UAITRAIN_SYNC_SECONDS"
KEEP_LAST = "UAITRAIN_KEEP_LAST"
ENDPOINT = "UAITRAIN_S3_ENDPOINT"
"""What the launcher is told (docs/architecture/12-shipping.md)."""

AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

SEES_THIS_MACHINE = ("local", "slurm")
"""Backends whose runs see the folders of this machine under the same paths."""

_URI = re.compile(r"[a-z][a-z0-9+.-]*://.+\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_MOST = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """Which run of a job: on which backend, on CPUs or GPUs, by which id and image."""

    backend: str
    accelerator: str
    run_id: str
    image: str


def is_uri(place: str) -> bool:
    return _URI.match(place) is not None


def parse_time(text: str) -> int:
    """Seconds of ``90m``, ``12h``, ``1d12h``; 0 for nothing and ``0``. Raises UsageError."""
    stripped = text.strip().lower()
    if stripped in ("", "0"):
        return 0
    if not re.fullmatch(r"(?:[0-9]{1,6}[dhms])+", stripped):
        raise UsageError(
            f"--time: not a time: {text!r}",
            allowed="numbers with d, h, m or s, such as 90m, 12h or 1d12h",
        )
    pieces = re.findall(r"([0-9]+)([dhms])", stripped)
    seconds = sum(int(number) * _UNIT_SECONDS[unit] for number, unit in pieces)
    if not seconds:
        raise UsageError(f"--time {text!r} is no time at all", allowed="0 for none, or more")
    return seconds


def places(spec: TrainSpec, backend: str) -> tuple[str, str]:
    """Where the run's data and results lie: a path where the job runs, a URI, or empty."""
    here = backend in SEES_THIS_MACHINE
    data = spec.ship["run.data"] or (str(spec.data) if here else "")
    output = spec.ship["run.output"] or (str(spec.output) if here else "")
    return _place("run.data", data, here), _place("run.output", output, here)


def plan(spec: TrainSpec, wanted: Wanted, environment: Mapping[str, str]) -> Job:
    """The job that the backend is to run. ``environment`` is the submitter's, of which only
    names are looked at; backends take the values. Raises UsageError for settings that cannot be
    or contradict another."""
    ship = spec.ship
    data, output = places(spec, wanted.backend)
    endpoint = _endpoint(ship["run.endpoint"], (data, output))
    on_gpus = wanted.accelerator == GPU
    return Job(
        image=wanted.image,
        argv=run_argv(spec, wanted.accelerator),
        mounts=tuple(_mounts(data, output)),
        environment=dict(_variables(wanted.run_id, data, output, endpoint, ship)),
        secrets=_secrets(ship["run.secrets"], (data, output), environment),
        gpus=spec.resources.gpus if on_gpus else 0,
        shm_bytes=spec.resources.shm_bytes,
        run_id=wanted.run_id,
        nodes=_number(ship, "run.nodes", "--nodes", 1),
        cpus=_number(ship, "run.cpus", "--cpus", 0),
        memory_bytes=parse_size(ship["run.memory"]) if ship["run.memory"] else 0,
        seconds=parse_time(ship["run.time"]),
    )


def resumed(before: Job, now: Job) -> Job:
    """``before``, started again; ``now`` is what the settings of today say.

    The image, the command and the places are the run's: with others it would not find, or not
    fit, its snapshots. Of the rest, what is not said today is as it was.
    """
    kept = {name: before.environment[name] for name in (DATA, OUTPUT) if name in before.environment}
    return replace(
        now,
        image=before.image,
        argv=before.argv,
        mounts=before.mounts,
        gpus=before.gpus,
        nodes=before.nodes,
        run_id=before.run_id,
        environment={**before.environment, **now.environment, RUN_ID: before.run_id, **kept},
        secrets=tuple(dict.fromkeys([*before.secrets, *now.secrets])),
        cpus=now.cpus or before.cpus,
        memory_bytes=now.memory_bytes or before.memory_bytes,
        seconds=now.seconds or before.seconds,
    )


def _place(key: str, place: str, here: bool) -> str:
    if any(ord(character) < 32 for character in place):
        raise UsageError(f"{key} = {place!r}", allowed="a path or a URI without control characters")
    if is_uri(place):
        if re.match(r"[^:]+://[^/]*@", place):
            raise UsageError(
                f"{key} holds a user name or password",
                allowed="URIs without logins",
                next_step="credentials come from the environment: AWS_ACCESS_KEY_ID and so on",
            )
        return place
    if here and place and not Path(place).is_absolute():
        raise UsageError(
            f"{key} = {place!r}",
            allowed="an absolute path where the run is, or a URI such as s3://bucket/prefix",
        )
    return place


def _endpoint(endpoint: str, where: tuple[str, str]) -> str:
    if not endpoint:
        return ""
    if not re.match(r"https?://[^@\s]+\Z", endpoint):
        raise UsageError(
            "--endpoint holds a login" if "@" in endpoint else f"--endpoint {endpoint!r}",
            allowed="http:// or https://, a host, and perhaps a port",
        )
    if not _on_s3(where):
        raise UsageError(
            f"--endpoint {endpoint} is for s3:// places, and there are none",
            next_step="give --run-data or --run-output s3://bucket/prefix",
        )
    return endpoint


def _on_s3(where: tuple[str, str]) -> bool:
    return any(place.startswith("s3://") for place in where)


def _mounts(data: str, output: str) -> Iterator[Mount]:
    for place, target in ((data, DATA_DIR), (output, OUTPUT_DIR)):
        if place and not is_uri(place):
            yield Mount(place, target)


def _variables(
    run_id: str, data: str, output: str, endpoint: str, ship: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    yield RUN_ID, run_id
    if is_uri(data):
        yield DATA, data
    if is_uri(output):
        yield OUTPUT, output
        yield SYNC_SECONDS, str(_number(ship, "run.sync", "--sync", 1))
    if endpoint:
        yield ENDPOINT, endpoint
    if keep := _number(ship, "run.keep_last", "--keep-last", 0):
        yield KEEP_LAST, str(keep)


def _secrets(
    names: list[str], where: tuple[str, str], environment: Mapping[str, str]
) -> tuple[str, ...]:
    for name in names:
        if not _VARIABLE.match(name):
            # Somebody may have given the value; it must not be repeated.
            raise UsageError(
                "--secret: not the name of a variable",
                allowed="the name alone, such as WANDB_API_KEY; the value is taken from here",
            )
    aws = [name for name in AWS if _on_s3(where) and environment.get(name)]
    return tuple(dict.fromkeys([*aws, *names]))


def _number(ship: Mapping[str, Any], key: str, flag: str, least: int) -> int:
    value: int = ship[key]
    if not least <= value <= _MOST:
        raise UsageError(f"{flag} {value}", allowed=f"{least} to {_MOST}")
    return value
