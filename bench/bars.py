"""What the figures must reach, and whether they do.

    bench/bars.py        every bar, from the files in bench/results

A figure that nobody measured meets no bar: it is shown as not measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_OURS = "uaitrain"
_CASES = ("first", "unchanged", "edited")
_CRANES = ("crane", "crane-pipe")
_DOCKER = ("docker",)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """``figure`` and ``met`` are None where it was not measured."""

    bar: str
    wanted: str
    figure: float | None
    unit: str
    met: bool | None

    def line(self) -> str:
        shown = "not measured" if self.figure is None else f"{self.figure:,.4g} {self.unit}"
        met = {True: "met", False: "**not met**", None: "–"}[self.met]
        return f"| {self.bar} | {self.wanted} | {shown} | {met} |"


FASTER: Sequence[tuple[str, tuple[str, ...], tuple[float, float, float]]] = (
    ("A-small", _DOCKER, (2.5, 2.5, 2.5)),
    ("B-many", _CRANES, (1.4, 14, 4)),
    ("B-many", _DOCKER, (15, 40, 50)),
    ("C-large", _CRANES, (1, 80, 70)),
    ("C-large", _DOCKER, (10, 80, 400)),
)
"""How often our time fits at least into the faster of those tools', first, unchanged, edited."""

SLOWER: Sequence[tuple[str, tuple[str, ...], tuple[float, float, float]]] = (
    ("A-small", _CRANES, (1.5, 1.5, 1.5)),
)
"""How often the faster of those tools' times fits at most into ours."""


def of_packs(rows: Sequence[Row]) -> list[Verdict]:
    """The bars that ``pack.py`` decides, by the medians in its rows."""
    medians = {(row["work"], row["case"], row["tool"]): row["median"] for row in rows}
    verdicts = []
    for table, faster in ((SLOWER, False), (FASTER, True)):
        for work, peers, factors in table:
            for case, factor in zip(_CASES, factors, strict=True):
                ours = medians.get((work, case, _OURS))
                theirs = [medians.get((work, case, peer)) for peer in peers]
                verdicts.append(_compared(f"{work} {case}", ours, theirs, peers, factor, faster))
    return verdicts


def _compared(
    name: str,
    ours: float | None,
    theirs: Sequence[float | None],
    peers: Sequence[str],
    factor: float,
    faster: bool,
) -> Verdict:
    against = peers[0] if len(peers) == 1 else f"the faster of {' and '.join(peers)}"
    wanted = f"{factor:g}× or {'more' if faster else 'less'}"
    bar = f"{name}: {f'{against} by ours' if faster else f'ours by {against}'}"
    known = [seconds for seconds in theirs if seconds]
    # The faster of two is not known from one.
    if not ours or len(known) < len(peers):
        return Verdict(bar, wanted, None, "×", None)
    figure = min(known) / ours if faster else ours / min(known)
    return Verdict(
        bar, wanted, round(figure, 3), "×", figure >= factor if faster else figure <= factor
    )


def _below(
    bar: str, limit: float, unit: str, figure: Callable[[Any], float]
) -> Callable[[Any], Verdict]:
    def judge(document: Any) -> Verdict:
        try:
            value = figure(document)
        except (KeyError, TypeError):
            return Verdict(bar, f"under {limit:g} {unit}", None, unit, None)
        return Verdict(bar, f"under {limit:g} {unit}", round(value, 3), unit, value < limit)

    return judge


def _help_limit(document: Any) -> Verdict:
    bar, unit = "uaitrain --help", "ms"
    wanted = "1.5× python -c pass, plus 40 ms"
    try:
        ours, python = (
            document["median_ms"][name] for name in ("uaitrain --help", "python -c pass")
        )
    except (KeyError, TypeError):
        return Verdict(bar, wanted, None, unit, None)
    limit = 1.5 * python + 40
    return Verdict(bar, f"{wanted}: {limit:.0f} ms or less", ours, unit, ours <= limit)


OTHERS: Sequence[tuple[str, Callable[[Any], Verdict]]] = (
    ("cold.json", _below("cold machine: received", 100, "KB", lambda d: d["received_bytes"] / 1e3)),
    (
        "scale.json",
        _below(
            "100,000 files unchanged",
            1,
            "s",
            lambda d: d["works"]["100000 files"]["unchanged"]["seconds"],
        ),
    ),
    (
        "scale.json",
        _below(
            "100,000 files, one of 20 GiB: memory",
            300,
            "MiB",
            lambda d: max(
                case["peak_tree_mib"]
                for work in ("100000 files", "one file of 20 GiB")
                for case in d["works"][work].values()
            ),
        ),
    ),
    ("start.json", _help_limit),
    (
        "docker_load.json",
        _below("A-small into an engine with its base", 0.5, "s", lambda d: d["median_seconds"]),
    ),
)
"""The bars that other scripts decide, by the file each of them writes."""


def of_all(folder: Path) -> list[Verdict]:
    def read(name: str) -> Any:
        path = folder / name
        return json.loads(path.read_text()) if path.exists() else {}

    packs = read("pack.json")
    return of_packs(packs.get("rows", [])) + [judge(read(name)) for name, judge in OTHERS]


def table(verdicts: Sequence[Verdict]) -> str:
    met = sum(verdict.met is True for verdict in verdicts)
    lines = ["| bar | wanted | measured | |", "| --- | --- | ---: | --- |"]
    lines += [verdict.line() for verdict in verdicts]
    return "\n".join([*lines, "", f"{met} of {len(verdicts)} bars met"])


def as_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [asdict(verdict) for verdict in verdicts]


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(__doc__)
    print(table(of_all(RESULTS)))
