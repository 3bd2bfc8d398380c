"""Find what would make a job fail or lose its results, before anything is built.

Each family of checks is one module with ``check(look)`` and the rules that it may raise. A new
family is a module, a row in :data:`CHECKS` and its rules in docs/manual/preflight.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from uaitrain.preflight import (
    base,
    code_folder,
    data_rules,
    data_sources,
    main_file,
    net,
    output,
    prototxt_findings,
    secrets,
    snapshot,
    solver,
    testing,
)
from uaitrain.preflight.finding import Finding, Severity
from uaitrain.preflight.look import Look
from uaitrain.preflight.rule import Rule
from uaitrain.preflight.subject import BaseFacts, Subject

__all__ = ["CHECKS", "RULES", "BaseFacts", "Finding", "Severity", "Subject", "run_checks"]

CHECKS: tuple[tuple[str, Callable[[Look], Iterable[Finding]]], ...] = (
    ("main-file", main_file.check),
    ("solver", solver.check),
    ("net", net.check),
    ("testing", testing.check),
    ("data-sources", data_sources.check),
    ("output", output.check),
    ("snapshot", snapshot.check),
    ("base", base.check),
    ("code-folder", code_folder.check),
    ("secrets", secrets.check),
)

RULES: tuple[Rule, ...] = (
    *main_file.RULES,
    *solver.RULES,
    *prototxt_findings.RULES,
    *net.RULES,
    *testing.RULES,
    *data_rules.RULES,
    *output.RULES,
    *snapshot.RULES,
    *base.RULES,
    *code_folder.RULES,
    *secrets.RULES,
)

ORDER = {severity: index for index, severity in enumerate(Severity)}


def run_checks(subject: Subject) -> tuple[Finding, ...]:
    """Every check's findings, errors first, otherwise in the order of :data:`CHECKS`."""
    look = Look(subject)
    found = [finding for _, check in CHECKS for finding in check(look)]
    return tuple(sorted(found, key=lambda finding: ORDER[finding.severity]))
