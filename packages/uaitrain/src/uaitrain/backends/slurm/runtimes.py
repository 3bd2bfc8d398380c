"""What runs an image's files on a node: one table, tried in its order on the node itself.

A row's shell function ``run_<name>`` stands in ``run.sh``. First come what a cluster's
administrators install for jobs (they bring drivers and obey the site's rules), then the kernel's
own namespaces, whose processes cannot outlive the job. Podman's monitor leaves the job's tree of
processes, so Podman is last.
"""

from __future__ import annotations

from uaitrain.values import dataclass

AUTO = "auto"


@dataclass(frozen=True)
class Runtime:
    """``gpus`` says how it brings GPUs into the container; empty: it cannot. ``tried`` says
    whether our tests really run it, or only compare its command line."""

    name: str
    about: str
    gpus: str
    tried: bool


RUNTIMES = (
    Runtime("apptainer", "Apptainer, on the folder as a sandbox", "--nv", False),
    Runtime("singularity", "Singularity, the same", "--nv", False),
    Runtime("enroot", "NVIDIA enroot", "its hook for NVIDIA GPUs", False),
    Runtime("unshare", "the kernel's namespaces by util-linux", "the node's own driver", True),
    Runtime("crun", "crun with a config.json of ours", "", False),
    Runtime("runc", "runc with a config.json of ours", "", True),
    Runtime("podman", "Podman, on the folder as --rootfs", "the node's CDI description", True),
)


def names(gpus: int) -> tuple[str, ...]:
    """The runtimes that can run a job with so many GPUs, the first choice first."""
    return tuple(each.name for each in RUNTIMES if each.gpus or not gpus)
