"""What was measured, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CASES = ("first", "unchanged", "edited")
OURS = "uaitrain"


@dataclass
class Results:
    """Seconds by work, case and tool, in the order in which they were measured."""

    seconds: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)

    def add(self, work: str, case: str, tool: str, seconds: float) -> None:
        self.seconds.setdefault((work, case, tool), []).append(seconds)

    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for (work, case, tool), seconds in self.seconds.items():
            median = statistics.median(seconds)
            ours = self.seconds.get((work, case, OURS))
            ratio = median / statistics.median(ours) if ours else None
            rows.append(
                {
                    "work": work,
                    "case": case,
                    "tool": tool,
                    "seconds": [round(value, 4) for value in seconds],
                    "median": round(median, 4),
                    "ratio_to_uaitrain": round(ratio, 2) if ratio else None,
                }
            )
        return sorted(rows, key=lambda row: (row["work"], CASES.index(row["case"])))


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each work and case: our seconds, then each tool's and how often ours fits in."""
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    cells = {(row["work"], row["case"], row["tool"]): row for row in rows}
    lines = [
        f"| work | case | {' | '.join(tools)} |",
        f"| --- | --- |{' ---: |' * len(tools)}",
    ]
    for work, case in dict.fromkeys((row["work"], row["case"]) for row in rows):
        shown = [_cell(cells.get((work, case, tool)), tool) for tool in tools]
        lines.append(f"| {work} | {case} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None, tool: str) -> str:
    if row is None:
        return "–"
    seconds = f"{row['median']:.2f} s" if row["median"] < 10 else f"{row['median']:.1f} s"
    ratio = row["ratio_to_uaitrain"]
    if tool == OURS or ratio is None:
        return seconds
    return f"{seconds} ({ratio:.1f}×)" if ratio < 10 else f"{seconds} ({ratio:.0f}×)"
