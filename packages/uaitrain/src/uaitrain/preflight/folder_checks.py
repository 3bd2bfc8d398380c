"""The checks that look at every file of the code folder, whatever the job is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from uaitrain.preflight import code_folder, secrets
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look

CHECKS: tuple[tuple[str, Callable[[Look], Iterable[Finding]]], ...] = (
    ("code-folder", code_folder.check),
    ("secrets", secrets.check),
)
