"""What a check of the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from uaitrain.engines.find import Probe

PACK, BASE_BUILD, PUSH = "pack", "base build", "push"
TEST_CPU, TEST_GPU = "test --cpu", "test --gpu"
VERBS = (PACK, BASE_BUILD, PUSH, TEST_CPU, TEST_GPU)
"""What a user wants to do, in the order in which it is told."""


class State(Enum):
    """``MISSING`` stops the verbs it names; ``NOTE`` stops nothing and is worth knowing."""

    PRESENT = "present"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True)
class Verdict:
    """One fact about this machine. ``mend`` says how to get what is missing."""

    check: str
    state: State
    what: str
    mend: str = ""
    stops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What several checks look at: the engines, asked once."""

    probes: tuple[Probe, ...] = ()

    @property
    def engine(self) -> Probe | None:
        """The one that ``uaitrain`` would use."""
        return next((probe for probe in self.probes if probe.engine), None)


@dataclass(frozen=True)
class Report:
    verdicts: tuple[Verdict, ...]

    def obstacles(self, verb: str) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verb in verdict.stops)
