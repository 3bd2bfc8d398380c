"""A Slurm cluster: one script for sbatch, images unpacked for nodes that have no engine.

``render.py`` makes the script: the job's words as variables, then ``run.sh``, which chooses a
runtime of ``runtimes.py`` on the node, starts the launcher in the image and keeps its exit code.
``backend.py`` speaks to Slurm through ``tools.py``; ``states.py`` reads what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uaitrain.backends.slurm.backend import SlurmBackend
from uaitrain.backends.slurm.options import options_from


def connect(options: Mapping[str, Any]) -> SlurmBackend:
    """``options`` are the settings of the table ``slurm``, by their keys (``slurm.folder``, …).

    Nothing is started before the cluster is asked something. Raises UsageError.
    """
    return SlurmBackend(options_from(options))
