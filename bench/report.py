"""What was measured, as rows for JSON and as Markdown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CASES = ("first", "unchanged", "edited")
OURS = "uaitrain"
README_BEGIN = "<!-- bench:begin -->\n"
README_END = "<!-- bench:end -->"


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


def readme(document: Mapping[str, Any]) -> str:
    """The part of README.md between its marks: the table, and on what it was made."""
    machine = document["machine"]
    works = (f"{work}: {_often(document['rows'], work)}" for work in _works(document["rows"]))
    facts = [
        f"Measured on {machine['date'].split()[0]}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB of memory, {machine['system']}.",
        f"Rounds: {'; '.join(works)}.",
        f"Tools: {'; '.join(f'{name}: {what}' for name, what in document['tools'].items())}.",
    ]
    if document["missing"]:
        missing = (f"{name}: {why}" for name, why in document["missing"].items())
        facts.append(f"Not measured: {'; '.join(missing)}.")
    facts += document.get("remarks", [])
    return f"{table(document['rows'])}\n\n{' '.join(facts)}\n"


def into_readme(path: Path, document: Mapping[str, Any]) -> None:
    """Put :func:`readme` between the marks of the file."""
    before, begin, rest = path.read_text().partition(README_BEGIN)
    _, end, after = rest.partition(README_END)
    path.write_text(f"{before}{begin}{readme(document)}{end}{after}")


def _works(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["work"] for row in rows))


def _often(rows: Sequence[Mapping[str, Any]], work: str) -> str:
    """How many samples a cell has, and which tools have another number of them."""
    counts = {row["tool"]: len(row["seconds"]) for row in rows if row["work"] == work}
    usual = max(counts.values())
    others = [f"{tool} {count}" for tool, count in counts.items() if count != usual]
    return f"{usual}" + (f" ({', '.join(others)})" if others else "")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
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


def _cell(row: Mapping[str, Any] | None, tool: str) -> str:
    if row is None:
        return "–"
    seconds = f"{row['median']:.2f} s" if row["median"] < 10 else f"{row['median']:.1f} s"
    ratio = row["ratio_to_uaitrain"]
    if tool == OURS or ratio is None:
        return seconds
    return f"{seconds} ({ratio:.1f}×)" if ratio < 10 else f"{seconds} ({ratio:.0f}×)"
