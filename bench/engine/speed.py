#!/usr/bin/env python3
"""Iterations a second of the ``train`` command, ours beside real Caffe's on the same cores.

The tools take turns; a figure is the median of its rounds. Writes results/engine.json.

    python bench/engine [--nets lenet …] [--rounds 5] [--threads 2]
    python bench/engine --table         the last results as Markdown, without measuring
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCH))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine  # noqa: E402 - found through the lines above
from train_runs import CAFFE, JOBS, OURS, TOOLS, Job, busy_core, lay_out_mnist, rate  # noqa: E402

RESULTS = BENCH / "results" / "engine.json"


def measure(folder: Path, job: Job, rounds: int, threads: int, busy: bool) -> list[dict[str, Any]]:
    """The rows of one job: one for each tool."""
    rates: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    with busy_core() if busy else contextlib.nullcontext():
        for turn in range(rounds):
            for tool in TOOLS if turn % 2 == 0 else reversed(TOOLS):
                rates[tool].append(rate(folder, job, tool, threads))
    caffe = statistics.median(rates[CAFFE])
    return [
        {
            "net": job.net,
            "batch": job.batch,
            "threads": threads,
            "busy_core": busy,
            "tool": tool,
            "iterations_per_second": [round(value, 3) for value in rates[tool]],
            "median": round(statistics.median(rates[tool]), 3),
            "ratio_to_caffe": round(statistics.median(rates[tool]) / caffe, 2),
        }
        for tool in TOOLS
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """One line a job: both tools' medians and the ratio."""
    lines = [
        "| net | batch | threads | beside | Caffe it/s | caffe-torch it/s | ratio |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    key = ("net", "batch", "threads", "busy_core")
    cells = {(*(row[name] for name in key), row["tool"]): row for row in rows}
    for row in rows:
        if row["tool"] != OURS:
            continue
        where = tuple(row[name] for name in key)
        beside = "a busy core" if row["busy_core"] else "nothing"
        lines.append(
            f"| {row['net']} | {row['batch']} | {row['threads']} | {beside} "
            f"| {cells[(*where, CAFFE)]['median']:.4g} | {row['median']:.4g} "
            f"| {row['ratio_to_caffe']:.2f}× |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nets", nargs="+", default=[job.net for job in JOBS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--quiet-only", action="store_true", help="without the busy core")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    if chosen.table:
        print(table(json.loads(chosen.results.read_text())))
        return
    about = {**machine.facts({}), "load_at_start": machine.load()}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out_mnist(folder)
        for job in JOBS:
            if job.net not in chosen.nets:
                continue
            for threads in chosen.threads:
                beside = [False] if chosen.quiet_only or job.net != "lenet" else [False, True]
                for busy in beside:
                    # Beside a busy core Caffe needs minutes a round.
                    rounds = min(chosen.rounds, 3) if busy else chosen.rounds
                    rows += measure(folder, job, rounds, threads, busy)
                    print(table(rows).splitlines()[-1], flush=True)
    chosen.results.write_text(json.dumps(rows, indent=1) + "\n")
    chosen.results.with_suffix(".meta.json").write_text(json.dumps(about, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
