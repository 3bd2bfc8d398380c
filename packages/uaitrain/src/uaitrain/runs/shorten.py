"""A solver with fewer iterations: the same training, over sooner (pure)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uaitrain.errors import UsageError
from uaitrain.frameworks import prototxt

LEAST = 10
"""Fewer iterations leave no room for snapshots and interrupts."""


def shortened(text: str, iterations: int, path: str) -> str:
    """The solver ``text``, which lies at ``path``, for ``iterations``: it shows each one, writes
    ten snapshots and tests four times. Raises UsageError for a text that is no solver.
    """
    document = prototxt.parse(text, prototxt.SOLVER, Path(path))
    if document.problems:
        problem = document.problems[0]
        raise UsageError(
            f"cannot shorten {document.where(problem)}: {problem.what}",
            next_step="uaitrain check",
        )
    solver: Any = document.message
    solver.max_iter = iterations
    solver.snapshot = max(1, iterations // 10)
    solver.display = 1
    if solver.test_interval:
        solver.test_interval = max(1, iterations // 4)
        solver.test_initialization = False
    return prototxt.text_of(solver)
