"""Where a job runs. A backend renders a job into a complete request before anything happens.

Each backend is one module of :data:`BACKENDS`, imported when it is named. Runs that nobody
watches (``uaitrain submit``) go through :class:`Backend`; the local test renders the same job
through :func:`uaitrain.backends.local.render` and watches it itself.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Iterator, Mapping, Sequence

from uaitrain.typed import Protocol, cast
from uaitrain.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BACKENDS = {
    "local": "Docker or Podman on this machine, in the background",
    "slurm": "a Slurm cluster whose commands this machine has",
    "kubernetes": "a Kubernetes cluster of the current kubeconfig context",
    "uai": "UCloud's AI training platform",
}
"""The name of each module here, and what it reaches."""

RUN_LABEL = "dev.uaitrain.run-id"
"""What marks a run as ours wherever a backend has labels."""


@dataclass(frozen=True)
class Mount:
    """``source`` of where the job runs appears as ``target`` in the container.

    A backend may know other sources than folders, such as Kubernetes' volume claims; it judges
    them in ``render``.
    """

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Job:
    """One run: the image, what the container executes in ``/data``, and what it needs.

    ``image`` is a reference, by digest where the image lies in a registry. ``environment`` holds
    no secret: credentials stand in ``secrets`` as names of variables, whose values a backend
    takes from the submitter's environment when it submits, and brings in by means that no
    listing shows. ``gpus``, ``cpus`` and ``memory_bytes`` are for each of the ``nodes``, and 0
    means: the backend's own default (for ``gpus``: a CPU run). ``seconds`` is the run's time
    limit, 0 none. ``user`` is ``uid:gid`` or empty for the image's own.
    """

    image: str
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    gpus: int = 0
    shm_bytes: int = 0
    user: str = ""
    run_id: str = ""
    nodes: int = 1
    cpus: int = 0
    memory_bytes: int = 0
    seconds: int = 0


@dataclass(frozen=True)
class Request:
    """Exactly what will be executed: the argument vector of one child process."""

    argv: tuple[str, ...]


class Rendered(Protocol):
    """What a backend will send, whole. ``show`` is what ``--dry-run`` prints, ``to_json`` the
    same as plain values; neither holds a secret."""

    def show(self) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


class State(enum.StrEnum):
    """What became of a run. A STOPPED one (exit code 143) goes on when it is started again."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_over(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING, State.UNKNOWN)


@dataclass(frozen=True)
class Status:
    """``exit_code`` is the run's own, None while there is none; ``reason`` is the backend's word
    on the state (``Resources``, ``ImagePullBackOff``), or empty. Times are Unix seconds or 0."""

    handle: str
    run_id: str
    state: State
    exit_code: int | None = None
    reason: str = ""
    started: float = 0.0
    ended: float = 0.0


class Backend(Protocol):
    """A place that runs jobs. ``handle`` is its own name for a run, a text.

    Methods but ``render`` raise BackendError for what the place refuses or cannot be asked,
    and CredentialsError for a login it does not take.
    """

    def render(self, job: Job) -> Rendered:
        """The whole request; nothing is looked up and nothing is sent. Raises UsageError for a
        job that this place cannot run."""

    def submit(self, request: Any) -> str:
        """Send exactly ``request``, which this backend rendered. Gives the handle."""

    def status(self, handles: Sequence[str]) -> Mapping[str, Status]:
        """Of each handle; one that the place does not know any more is UNKNOWN."""

    def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
        """What the run has written, line by line; with ``follow`` until it is over."""

    def cancel(self, handle: str) -> None:
        """Ask the run to end with a snapshot; when this returns, nothing of it runs any more."""

    def list(self) -> tuple[Status, ...]:
        """All runs of ours that the place knows, the newest first."""


class Connect(Protocol):
    """``connect`` of a backend's module. ``options`` are the settings of its table of
    ``uaitrain.toml``, complete, by the names in :mod:`uaitrain.ship_settings`."""

    def __call__(self, options: Mapping[str, Any]) -> Backend: ...


def connect(name: str, options: Mapping[str, Any]) -> Backend:
    """The backend ``name`` of :data:`BACKENDS`. Nothing is sent before it is used.

    Raises UsageError for options that cannot be.
    """
    module = importlib.import_module(f"uaitrain.backends.{name}")
    return cast(Connect, module.connect)(options)
