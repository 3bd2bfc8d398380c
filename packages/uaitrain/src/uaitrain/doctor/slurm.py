"""A Slurm cluster to send runs to: its programs, its controller, and what could run images here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from uaitrain.backends.slurm import tools
from uaitrain.backends.slurm.runtimes import RUNTIMES
from uaitrain.doctor.verdict import State, Surroundings, Verdict
from uaitrain.errors import BackendError

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
"""What ``submit slurm`` starts. sacct is asked too, where there is one."""

_PATIENCE_SECONDS = 5.0


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        # No obstacle: most machines belong to no cluster, and need none.
        what = f"uaitrain submit slurm does not work here: there is no {', '.join(missing)}"
        mend = "call uaitrain on the login node of a Slurm cluster"
        yield Verdict("slurm", State.NOTE, what, mend)
        return
    try:
        said = tools.call("sinfo", "--noheader", "--format=%R", seconds=_PATIENCE_SECONDS)
        version = tools.call("sbatch", "--version", seconds=_PATIENCE_SECONDS).strip()
    except BackendError as error:
        what = f"uaitrain submit slurm does not work here: {error.what}"
        yield Verdict("slurm", State.NOTE, what, error.next_step)
        return
    partitions = ", ".join(dict.fromkeys(re.findall(r"\S+", said))) or "none"
    yield Verdict("slurm", State.PRESENT, f"{version} answers; its partitions: {partitions}")
    yield _runtimes()


def _runtimes() -> Verdict:
    found = [each.name for each in RUNTIMES if shutil.which(each.name)]
    if not found:
        return Verdict(
            "slurm",
            State.NOTE,
            "this node has nothing that runs an image; other nodes may",
            "ask whoever runs the cluster for Apptainer, or module load it (slurm.setup)",
        )
    return Verdict(
        "slurm",
        State.PRESENT,
        f"this node has {', '.join(found)} to run images; each node decides for itself",
    )
