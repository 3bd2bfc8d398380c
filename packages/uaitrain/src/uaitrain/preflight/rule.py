"""A check's fixed part: its name, how bad it is, what it finds, why it matters, how to mend it."""

from __future__ import annotations

from uaitrain.preflight.finding import Finding, Severity
from uaitrain.values import dataclass


@dataclass(frozen=True)
class Rule:
    """One row of the manual's table of checks; a family declares the ones that it may raise."""

    severity: Severity
    name: str
    finds: str
    why: str
    mend: str

    def finding(self, what: str, where: str = "", mend: str = "") -> Finding:
        """This rule's finding; ``mend`` replaces the general advice where more is known."""
        return Finding(self.severity, self.name, what, where, self.why, mend or self.mend)


def error(name: str, finds: str, why: str, mend: str) -> Rule:
    return Rule(Severity.ERROR, name, finds, why, mend)


def warning(name: str, finds: str, why: str, mend: str) -> Rule:
    return Rule(Severity.WARNING, name, finds, why, mend)


def note(name: str, finds: str, why: str, mend: str) -> Rule:
    return Rule(Severity.NOTE, name, finds, why, mend)
