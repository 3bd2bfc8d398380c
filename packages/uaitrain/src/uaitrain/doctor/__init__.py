"""What this machine can do for each verb, what is missing, and how to get it.

To add a check: one module with ``check(surroundings)``, and a row in ``CHECKS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from uaitrain.doctor import (
    base,
    builder,
    credentials,
    engine,
    gpu,
    kubernetes,
    slurm,
    storage,
    uai,
    user_ids,
)
from uaitrain.doctor.verdict import Report, Surroundings, Verdict
from uaitrain.engines.find import probe, wanted_programs

CHECKS: tuple[Callable[[Surroundings], Iterator[Verdict]], ...] = (
    storage.check,
    base.check,
    builder.check,
    credentials.check,
    engine.check,
    user_ids.check,
    gpu.check,
    kubernetes.check,
    slurm.check,
    uai.check,
)


def examine(preferred: str | None = None) -> Report:
    """Run every check; changes nothing. Raises UsageError for an unknown engine."""
    surroundings = Surroundings(tuple(probe(name) for name in wanted_programs(preferred)))
    return Report(tuple(verdict for check in CHECKS for verdict in check(surroundings)))
