"""Local runs: a job as one ``docker run`` or ``podman run``.

:func:`render` is the command of the local test and of ``uaitrain_cmd.txt``; runs in the
background are made from it by :mod:`uaitrain.backends.detached`.
"""

from __future__ import annotations

from collections.abc import Mapping

from uaitrain.backends import Job, Mount, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from uaitrain.backends.detached import LocalBackend

NVIDIA_DOCKER = "nvidia-docker"


def connect(options: Mapping[str, Any]) -> LocalBackend:
    """``options`` are the settings of the table ``local``. Raises UsageError."""
    from uaitrain.backends.detached import LocalBackend, options_from

    return LocalBackend(options_from(options))


def render(
    job: Job, engine_words: tuple[str, ...], *, interactive: bool, name: str = ""
) -> Request:
    """The command that runs ``job``; nothing is looked up and nothing is started.

    ``engine_words`` begin it: ``("sudo", "docker")``, ``("podman",)``, or with ``nvidia-docker``
    as the program, which brings the GPUs by itself. ``interactive`` asks for a terminal.
    A ``name`` marks a run that somebody watches: the container gets it and goes when it ends.
    """
    words = [*engine_words, "run"]
    if interactive:
        words.append("-it")
    if name:
        words += ["--rm", "--name", name]
    if job.gpus:
        words += _gpu_options(engine_words[-1], job.gpus)
    if job.user:
        words += ["--user", job.user]
    if job.shm_bytes:
        words += ["--shm-size", str(job.shm_bytes)]
    for key, value in sorted(job.environment.items()):
        words += ["-e", f"{key}={value}"]
    for mount in job.mounts:
        words += _mount_option(mount)
    return Request((*words, job.image, *job.argv))


def _gpu_options(program: str, gpus: int) -> list[str]:
    """All GPUs of the machine, where the program needs to be told.

    The job itself takes the first ``gpus`` of them: device numbers stay those of the machine.
    """
    program = program.rpartition("/")[2]
    if program == NVIDIA_DOCKER:
        return []
    if program == "podman":
        return ["--device", "nvidia.com/gpu=all"]
    return ["--gpus", "all"]


def _mount_option(mount: Mount) -> list[str]:
    """``-v`` as people know it; ``--mount`` where a path holds what ``-v`` would split at."""
    if ":" not in mount.source and ":" not in mount.target:
        return ["-v", f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")]
    fields = ["type=bind", f"source={mount.source}", f"target={mount.target}"]
    if mount.read_only:
        fields.append("readonly")
    import csv
    import io

    # Docker and Podman read the fields as one line of CSV.
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return ["--mount", line.getvalue()]
