"""Where a job runs. A backend renders a job into a complete request before anything happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from uaitrain.values import dataclass


@dataclass(frozen=True)
class Mount:
    """``source`` on this machine appears as ``target`` in the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Job:
    """One run: the image, the shell line that the container's bash executes, and its needs.

    ``gpus`` 0 means a CPU run. ``user`` is ``uid:gid`` or empty for the image's own.
    """

    image: str
    shell_line: str
    mounts: tuple[Mount, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    shm_bytes: int = 0
    user: str = ""


@dataclass(frozen=True)
class Request:
    """Exactly what will be executed: the argument vector of one child process."""

    argv: tuple[str, ...]
