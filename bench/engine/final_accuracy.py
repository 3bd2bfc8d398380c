#!/usr/bin/env python3
"""Does a whole training end where real Caffe's ends? LeNet on MNIST, 10,000 iterations.

The solver is the example's (inv policy, momentum 0.9, batches of 64); all 10,000 test images are
asked once, at the end. One thread, one run at a time, the tools take turns. Writes
results/engine_statistics.json after every run, and makes only the runs that are not there yet.

    bench/engine/final_accuracy.py [--seeds 1 2 3] [--iterations 10000] [--results FILE]
    bench/engine/final_accuracy.py --table      the last results as Markdown, without training
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).resolve().parent))

from jobs import lay_out_mnist, lenet  # noqa: E402 - found through train_runs' lines
from oracle.program import oracle_argv  # noqa: E402 - found through train_runs' lines
from train_runs import CAFFE, TOOLS  # noqa: E402 - found through the line above

RESULTS = BENCH / "results" / "engine_statistics.json"
_OUTPUT = re.compile(r"Test net output #\d+: (accuracy|loss) = (\S+)")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def train(folder: Path, tool: str, seed: int, iterations: int) -> dict[str, Any]:
    """One training from the start; its row. Raises RuntimeError when it fails."""
    seen = "/data" if tool == CAFFE else str(folder)
    lenet(
        folder, seen, random_seed=seed, max_iter=iterations, test_interval=iterations,
        test_iter=100, test_initialization="false", display=1000, snapshot=0,
        snapshot_after_train="false",
    )  # fmt: skip
    arguments = ["train", f"--solver={seen}/solver.prototxt"]
    ours = [sys.executable, "-m", "caffe", *arguments]
    argv = oracle_argv(folder, *arguments) if tool == CAFFE else ours
    environment = {**os.environ, **_ONE_THREAD}
    if tool == CAFFE:
        # What a machine sets for numpy's OpenBLAS is not meant for Caffe's.
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            environment.pop(name, None)
    start = time.perf_counter()
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    outputs = {name: float(value) for name, value in _OUTPUT.findall(done.stderr)}
    if done.returncode or set(outputs) != {"accuracy", "loss"}:
        raise RuntimeError(f"{tool} did not train to the end:\n{done.stderr[-3000:]}")
    return {
        "tool": tool, "seed": seed, "iterations": iterations, **outputs,
        "seconds": round(seconds, 1),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Both tools' accuracies, a line a seed, and their means."""
    lines = [
        "| seed | Caffe accuracy | caffe-torch accuracy | Caffe loss | caffe-torch loss |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    cells = {(row["seed"], row["tool"]): row for row in rows}
    both = sorted(seed for seed, tool in cells if tool == CAFFE and (seed, TOOLS[1]) in cells)
    for seed in both:
        lines.append(f"| {seed} | {_cells([[cells[seed, tool]] for tool in TOOLS])} |")
    if both:
        of_tool = [[cells[seed, tool] for seed in both] for tool in TOOLS]
        lines.append(f"| mean | {_cells(of_tool)} |")
    return "\n".join(lines)


def _cells(of_tool: list[list[dict[str, Any]]]) -> str:
    return " | ".join(
        f"{scale * sum(row[name] for row in rows) / len(rows):.{digits}f}{unit}"
        for name, scale, digits, unit in (("accuracy", 100, 2, " %"), ("loss", 1, 4, ""))
        for rows in of_tool
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--iterations", type=int, default=10000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    rows = json.loads(chosen.results.read_text()) if chosen.results.exists() else []
    if not chosen.table:
        made = {(row["tool"], row["seed"], row["iterations"]) for row in rows}
        with tempfile.TemporaryDirectory(prefix="caffe-accuracy-") as name:
            lay_out_mnist(Path(name))
            for seed in chosen.seeds:
                for tool in TOOLS:
                    if (tool, seed, chosen.iterations) in made:
                        continue
                    rows.append(train(Path(name), tool, seed, chosen.iterations))
                    chosen.results.write_text(json.dumps(rows, indent=1) + "\n")
                    print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
