"""Slurm's own programs: the one place that starts them and turns what they say into errors."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from uaitrain.errors import BackendError

PATIENCE_SECONDS = 180.0
"""Longer than Slurm's programs themselves try to reach a controller."""


def call(
    *words: str,
    text: str = "",
    without: tuple[str, ...] = (),
    seconds: float = PATIENCE_SECONDS,
) -> str:
    """Standard output of ``words``, which get ``text``. Variables ``without`` are kept from it.

    Raises BackendError with Slurm's own words.
    """
    done = attempt(*words, text=text, without=without, seconds=seconds)
    if done.returncode:
        raise BackendError(f"{words[0]} refused: {_said(done)}", next_step=_advice(done.stderr))
    return done.stdout


def attempt(
    *words: str,
    text: str = "",
    without: tuple[str, ...] = (),
    seconds: float = PATIENCE_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """As :func:`call`, but what Slurm refuses is for the caller to judge."""
    try:
        return subprocess.run(
            words,
            input=text,
            env=_environment(without),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except FileNotFoundError:
        raise BackendError(
            f"this machine has no {words[0]}: it does not belong to a Slurm cluster",
            next_step="call uaitrain on the cluster's login node; uaitrain doctor says more",
        ) from None
    except OSError as error:
        raise BackendError(f"cannot start {words[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise BackendError(
            f"{words[0]} did not answer within {seconds:g} s",
            next_step="scontrol ping tells whether the controller is up",
        ) from None


def _environment(without: tuple[str, ...]) -> Mapping[str, str]:
    # Formats and words that we parse depend on neither language nor the user's own defaults.
    mine = {"LC_ALL": "C.UTF-8", "SLURM_TIME_FORMAT": "%s"}
    dropped = {*without, "SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SACCT_FORMAT"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | mine


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or f"exit code {done.returncode}"


def _advice(said: str) -> str:
    if "partition" in said.lower():
        return "sinfo lists the partitions; slurm.partition or --partition names one"
    if "contact" in said or "controller" in said or "configuration source" in said:
        return "scontrol ping tells whether the controller is up"
    return "the words are Slurm's; man sbatch explains them"
