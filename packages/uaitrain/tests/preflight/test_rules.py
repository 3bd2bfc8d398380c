"""Every rule speaks where it should and is silent on a good job; the manual lists them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_cases import CASES
from preflight_job import Job
from uaitrain.preflight import RULES, Severity
from uaitrain.preflight.rule import Rule

MANUAL = Path(__file__).resolve().parents[4] / "docs" / "manual" / "preflight.md"


def test_nothing_is_found_in_a_good_job(job: Job) -> None:
    assert job.findings() == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_rule_finds_its_mistake(rule: Rule, job: Job) -> None:
    CASES[rule.name](job)

    found = [finding for finding in job.findings() if finding.check == rule.name]

    assert found
    assert {finding.severity for finding in found} == {rule.severity}
    assert all(finding.what and finding.why and finding.mend for finding in found)


def test_every_case_is_a_rule() -> None:
    assert set(CASES) == {rule.name for rule in RULES}


def test_names_are_unique() -> None:
    names = [rule.name for rule in RULES]

    assert len(names) == len(set(names))


def test_errors_come_first(job: Job) -> None:
    job.net("/data/data/train_lmdb", "/usr/share/train_lmdb")
    job.solver("max_iter: 500", "max_iter: 0")
    job.base("gpu", is_cpu_build=True)

    severities = [finding.severity for finding in job.findings()]

    order = list(Severity)
    assert severities == sorted(severities, key=order.index)
    assert set(severities) == set(Severity)


def test_the_manual_has_exactly_the_rules() -> None:
    """Name, severity and the three texts of every rule, in the order of the code."""
    table = MANUAL.read_text("utf-8").split("## The checks")[1]
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in table.splitlines()
        if line.startswith("| `")
    ]

    assert rows == [
        (f"`{rule.name}`", rule.severity.value, rule.finds, rule.why, rule.mend) for rule in RULES
    ]
