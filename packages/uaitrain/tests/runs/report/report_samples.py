"""Reports for the tests: a real log of LeNet, and one that tries to be markup."""

from __future__ import annotations

from pathlib import Path

from uaitrain.runs.report import Curve, Fact, RunReport, Section

LENET = Path(__file__).parent.parent / "lenet.log"

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>&\"'\u2028"


def hostile() -> RunReport:
    """Every text that can come from a run is markup."""
    return RunReport(
        title=HOSTILE,
        state=HOSTILE,
        made=HOSTILE,
        curves=(Curve("loss", HOSTILE, ((0, 1.0), (1, 0.5)), HOSTILE),),
        sections=(Section(HOSTILE, (Fact(HOSTILE, HOSTILE + "\n" + HOSTILE),)),),
        tail=(HOSTILE, "\x1b[31mred\x00"),
        reason=HOSTILE,
    )
