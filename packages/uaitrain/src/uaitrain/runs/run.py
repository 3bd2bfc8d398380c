"""A run as the store knows it: what was sent where, and what it told last."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from uaitrain.backends import Job, Mount, State

SUBMITTING = "submitting"
"""The state of a run that may or may not have reached its backend."""

OVER = tuple(str(state) for state in State if state.is_over)


@dataclass(frozen=True)
class Run:
    """``handle`` is empty until the backend has answered. ``options`` are the settings of the
    backend's table, none of them secret. ``image`` is what the job calls its image, ``digest``
    what names the content; ``job`` is what was sent. ``output`` is where results go: a path or a
    URI. ``state`` is one of :class:`State` or SUBMITTING; ``reason`` says more. ``iteration`` and
    what follows are the last known values, None while nobody knows. Times are Unix seconds.
    ``submitter`` is the machine and the process that sends it.
    """

    run_id: str
    name: str
    backend: str
    options: Mapping[str, Any]
    job: Job
    image: str
    digest: str
    data: str
    output: str
    created: float
    handle: str = ""
    state: str = SUBMITTING
    exit_code: int | None = None
    reason: str = ""
    iteration: int | None = None
    max_iter: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    updated: float = 0.0
    submitter: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in OVER

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, for ``--json``."""
        values = {**asdict(self), "options": dict(self.options)}
        # JSON has no word for what a diverged training tells.
        return {name: _finite(value) for name, value in values.items()}


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Values:
    """What a training told last."""

    iteration: int | None = None
    max_iter: int | None = None
    loss: float | None = None
    accuracy: float | None = None

    def changes(self) -> dict[str, Any]:
        """The values that are known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Change:
    """Some fields of a run, as somebody learnt them at ``asked`` (Unix seconds)."""

    run_id: str
    asked: float
    fields: Mapping[str, Any] = field(default_factory=dict)


def job_text(job: Job) -> str:
    return json.dumps(asdict(job) | {"environment": dict(job.environment)}, sort_keys=True)


def job_from(text: str) -> Job:
    """The job that :func:`job_text` wrote; what a later version added is passed over."""
    told = json.loads(text)
    known = {name: told[name] for name in Job.__dataclass_fields__ if name in told}
    mounts = tuple(Mount(**each) for each in known.get("mounts", ()))
    texts = {name: tuple(known.get(name, ())) for name in ("argv", "secrets")}
    return Job(**known | texts | {"mounts": mounts})
