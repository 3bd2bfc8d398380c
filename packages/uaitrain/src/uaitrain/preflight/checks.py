"""The tables: every family of checks, and every rule that they may raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from uaitrain.preflight import (
    base,
    code_folder,
    data_rules,
    data_sources,
    engine,
    folder_checks,
    main_file,
    net,
    output,
    prototxt_findings,
    secrets,
    snapshot,
    solver,
    testing,
)
from uaitrain.preflight.finding import Finding
from uaitrain.preflight.look import Look
from uaitrain.preflight.rule import Rule

JOB_CHECKS: tuple[tuple[str, Callable[[Look], Iterable[Finding]]], ...] = (
    ("main-file", main_file.check),
    ("solver", solver.check),
    ("net", net.check),
    ("testing", testing.check),
    ("data-sources", data_sources.check),
    ("output", output.check),
    ("snapshot", snapshot.check),
    ("base", base.check),
    ("engine", engine.check),
)
CHECKS = (*JOB_CHECKS, *folder_checks.CHECKS)

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
    *engine.RULES,
    *code_folder.RULES,
    *secrets.RULES,
)
