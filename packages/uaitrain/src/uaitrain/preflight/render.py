"""Findings as plain text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from uaitrain.preflight.finding import Finding, Severity

PARTS = (("where", "where"), ("why", "why"), ("mend", "mend"))


def render(findings: Sequence[Finding]) -> str:
    """Each finding as a short block, then the count; one line where there is nothing."""
    if not findings:
        return "preflight: nothing found\n"
    blocks = [_block(finding) for finding in findings]
    return "\n".join([*blocks, f"preflight: {_counts(findings)}\n"])


def _block(finding: Finding) -> str:
    first, *more = finding.what.split("\n")
    lines = [f"{finding.severity.value}: {first} [{finding.check}]"]
    lines += [f"    | {line}" for line in more]
    for title, field in PARTS:
        value = getattr(finding, field)
        if value:
            lines.append(f"    {title}: {value}")
    return "\n".join(lines) + "\n"


def _counts(findings: Sequence[Finding]) -> str:
    counted = Counter(finding.severity for finding in findings)
    return ", ".join(
        f"{counted[severity]} {severity.value}{'' if counted[severity] == 1 else 's'}"
        for severity in Severity
        if counted[severity]
    )
