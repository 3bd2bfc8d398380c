"""Find what would make a job fail or lose its results, before anything is built.

Each family of checks is one module with ``check(look)`` and the rules that it may raise. A new
family is a module, a row in :data:`CHECKS` (checks.py) and its rules in docs/manual/preflight.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uaitrain.preflight.finding import Finding, Severity
from uaitrain.preflight.subject import BaseFacts, Subject

if TYPE_CHECKING:
    from uaitrain.preflight.checks import CHECKS, RULES

__all__ = ["CHECKS", "RULES", "BaseFacts", "Finding", "Severity", "Subject", "run_checks"]

_ORDER = {severity: index for index, severity in enumerate(Severity)}


def run_checks(subject: Subject) -> tuple[Finding, ...]:
    """Every check's findings, errors first, otherwise in the order of :data:`CHECKS`."""
    from uaitrain.preflight import checks
    from uaitrain.preflight.look import Look

    look = Look(subject)
    found = [finding for _, check in checks.CHECKS for finding in check(look)]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def __getattr__(name: str) -> object:
    """The tables bring every check and protobuf along: only a run of the checks needs them."""
    if name in ("CHECKS", "RULES"):
        from uaitrain.preflight import checks

        return getattr(checks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
