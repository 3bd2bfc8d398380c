#!/usr/bin/env python3
"""Is one training step of ours real Caffe's step? Every net of the zoo, iteration by iteration.

Before each iteration both have real Caffe's weights and history. The reference rows compare real
Caffe with itself in the same way, with another kernel of its BLAS or on two threads: what differs
there is rounding. Writes results/engine_parity.json after every net.

    bench/engine/parity.py [--nets lenet …] [--results FILE]
    bench/engine/parity.py --table      the last results as Markdown, without computing
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

BENCH = Path(__file__).resolve().parents[1]
REPOSITORY = BENCH.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(REPOSITORY / "packages" / "uaitrain" / "tests"))
sys.path.insert(0, str(REPOSITORY / "packages" / "caffe-torch" / "tests"))

from lockstep import OUTLIER, Lockstep, Step, batches  # noqa: E402 - found through the lines above
from oracle.client import Oracle  # noqa: E402 - found through the lines above

RESULTS = BENCH / "results" / "engine_parity.json"
SIZES = {
    # iterations, batch
    "lenet": (300, 64),
    "cifar10_quick": (20, 16),
    "cifar10_full": (20, 16),
    "autoencoder": (20, 16),
    "siamese": (20, 16),
    "caffenet": (20, 4),
    "googlenet": (20, 2),
    "resnet50": (20, 2),
}
OURS = "caffe-torch"
REFERENCES = {
    "Caffe, BLAS kernel SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "Caffe, BLAS kernel Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "Caffe, two threads": {"OPENBLAS_NUM_THREADS": "2"},
}
REFERENCE_ITERATIONS = 20


def against_ours(name: str) -> dict[str, Any]:
    """The row of our engine for one net."""
    iterations, batch = SIZES[name]
    with tempfile.TemporaryDirectory(prefix="caffe-parity-") as folder:
        oracle = Oracle(Path(folder))
        try:
            steps = Lockstep(oracle, name, batches(name, batch, iterations)).run()
        finally:
            oracle.close()
    return _row(name, batch, OURS, steps)


def against_itself(name: str, tool: str) -> dict[str, Any]:
    """The row of a reference: on the first iterations of the same batches."""
    iterations, batch = SIZES[name]
    data = batches(name, batch, iterations)
    first = {key: values[:REFERENCE_ITERATIONS] for key, values in data.items()}
    with tempfile.TemporaryDirectory(prefix="caffe-parity-") as folder:
        oracle, other = Oracle(Path(folder)), Oracle(Path(folder), **REFERENCES[tool])
        try:
            steps = Lockstep(oracle, name, first).beside(other)
        finally:
            oracle.close()
            other.close()
    return _row(name, batch, tool, steps)


def _row(name: str, batch: int, tool: str, steps: list[Step]) -> dict[str, Any]:
    outliers = [step for step in steps if step.largest > OUTLIER]
    return {
        "net": name,
        "tool": tool,
        "batch": batch,
        "iterations": len(steps),
        "loss": max(step.loss for step in steps),
        "weight_median": statistics.median(step.weight for step in steps),
        "update_median": statistics.median(step.update for step in steps),
        "update_worst": max(step.update for step in steps),
        "largest_median": statistics.median(step.largest for step in steps),
        "outliers": len(outliers),
        "outliers_with_flips": len([step for step in outliers if step.is_explained]),
        "steps": [asdict(step) for step in steps if step in outliers or step.flips],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each net and tool."""
    lines = [
        "| net | against Caffe | steps | batch | largest loss difference | update, median | "
        "update, worst step's | steps above 1e-5 | of these with flips |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        lines.append(
            f"| {row['net']} | {row['tool']} | {row['iterations']} | {row['batch']} "
            f"| {row['loss']:.1e} | {row['update_median']:.1e} | {row['update_worst']:.1e} "
            f"| {row['outliers']} | {row['outliers_with_flips']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nets", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--references", nargs="*", choices=SIZES, default=["lenet", "siamese"])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    rows = json.loads(chosen.results.read_text()) if chosen.results.exists() else []
    if not chosen.table:
        wanted = [(name, OURS) for name in chosen.nets]
        wanted += [(name, tool) for name in chosen.references for tool in REFERENCES]
        for name, tool in wanted:
            row = against_ours(name) if tool == OURS else against_itself(name, tool)
            rows = [old for old in rows if (old["net"], old["tool"]) != (name, tool)] + [row]
            chosen.results.write_text(json.dumps(rows, indent=1) + "\n")
            print(table([row]).splitlines()[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
