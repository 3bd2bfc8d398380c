#!/usr/bin/env python3
"""How long ``caffe train`` of LeNet takes to iteration 0, beside ``import torch`` alone.

Both are timed from the start of the process, in turns; figures are medians in seconds. Writes
results/engine_startup.json.

    bench/engine/startup.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCH))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine  # noqa: E402 - found through the lines above
from train_runs import Job, lay_out, lay_out_mnist  # noqa: E402

RESULTS = BENCH / "results" / "engine_startup.json"


def to_iteration_0(solver: str) -> float:
    """Seconds from the start of the program to its line about iteration 0."""
    argv = [sys.executable, "-m", "caffe", "train", f"--solver={solver}"]
    began = time.monotonic()
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "] Iteration 0 (" in line:
                seconds = time.monotonic() - began
                process.kill()
                return seconds
    raise RuntimeError("caffe train ended before iteration 0")


def import_torch() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    about = {**machine.facts({}), "load_at_start": machine.load()}
    ours, torch = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out_mnist(folder)
        solver = lay_out(folder, Job("lenet", 64, 1000, 1), str(folder))
        for _ in range(chosen.rounds):
            torch.append(import_torch())
            ours.append(to_iteration_0(solver))
    rows = {
        what: {"seconds": [round(value, 3) for value in times], "median": statistics.median(times)}
        for what, times in (("caffe train to iteration 0", ours), ("import torch", torch))
    }
    chosen.results.write_text(json.dumps({**rows, "machine": about}, indent=1) + "\n")
    for what, row in rows.items():
        print(f"{what}: {row['median']:.2f} s")


if __name__ == "__main__":
    main()
