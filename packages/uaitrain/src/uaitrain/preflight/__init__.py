"""Find what would make a job fail or lose its results, before anything is built.

Each family of checks is one module with ``check(look)`` and the rules that it may raise. A new
family is a module, a row in :data:`CHECKS` (checks.py) and its rules in docs/manual/preflight.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from uaitrain.preflight.finding import Finding, Severity
from uaitrain.preflight.subject import BaseFacts, EngineAnswer, Subject
from uaitrain.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from uaitrain.preflight.checks import CHECKS, RULES

__all__ = [
    "CHECKS",
    "RULES",
    "BaseFacts",
    "EngineAnswer",
    "Finding",
    "Severity",
    "Subject",
    "ask_engine",
    "run_checks",
]

_ORDER = {severity: index for index, severity in enumerate(Severity)}


def run_checks(subject: Subject, memory: Path | None = None) -> tuple[Finding, ...]:
    """Every check's findings, errors first, otherwise in the order of :data:`CHECKS`.

    In the folder ``memory`` checks remember what they need not read again.
    """
    from uaitrain.preflight import checks
    from uaitrain.preflight.look import Look

    look = Look(subject, memory)
    return in_order([finding for _, check in checks.CHECKS for finding in check(look)])


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, otherwise as they come."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def ask_engine(
    subject: Subject, findings: tuple[Finding, ...]
) -> tuple[tuple[Finding, ...], EngineAnswer | None]:
    """The findings with what our engine has to add, and its answer.

    A job with errors is not shown to it: it would only tell them again.
    """
    if any(finding.severity is Severity.ERROR for finding in findings):
        return findings, None
    from uaitrain.preflight import engine
    from uaitrain.preflight.look import Look

    answer = engine.ask(Look(subject))
    more = tuple(engine.check(Look(replace(subject, engine=answer))))
    return in_order((*findings, *more)), answer


def __getattr__(name: str) -> object:
    """The tables bring every check and protobuf along: only a run of the checks needs them."""
    if name in ("CHECKS", "RULES"):
        from uaitrain.preflight import checks

        return getattr(checks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
