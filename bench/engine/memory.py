#!/usr/bin/env python3
"""Is what ``caffe shapes`` says about memory what training takes? A batch item's share of it.

Each net trains a few iterations at two batch sizes; the difference of the processes' largest
resident memory, by item, stands beside the difference of the estimates. So whatever does not grow
with the batch (Python, torch, weights) is in neither. Writes results/engine_memory.json.

    bench/engine/memory.py [--nets caffenet …] [--iterations 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCH))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import machine  # noqa: E402 - found through the lines above
from train_runs import Job, lay_out, lay_out_mnist  # noqa: E402

RESULTS = BENCH / "results" / "engine_memory.json"
BATCHES = {
    "lenet": (256, 1024),
    "cifar10_quick": (256, 1024),
    "siamese": (256, 1024),
    "caffenet": (8, 40),
    "googlenet": (4, 20),
    "resnet50": (2, 10),
}


def resident(solver: str) -> int:
    """The largest resident memory of a training, in bytes."""
    argv = [sys.executable, "-m", "caffe", "train", f"--solver={solver}"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"caffe train failed:\n{said[-3000:]}")
    return usage.ru_maxrss * 1024


def estimate(solver: str) -> int:
    """What ``caffe shapes`` says of the same training, in bytes."""
    argv = [sys.executable, "-m", "caffe", "shapes", f"--solver={solver}", "-json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    memory: dict[str, int] = json.loads(done.stdout)["memory"]
    return memory["total"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nets", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out_mnist(folder)
        for net in chosen.nets:
            small, large = BATCHES[net]
            measured, told = [], []
            for batch in (small, large):
                job = Job(net, batch, chosen.iterations, 1)
                solver = lay_out(folder, job, str(folder))
                measured.append(resident(solver))
                told.append(estimate(solver))
            items = large - small
            row = {
                "net": net,
                "batches": [small, large],
                "bytes_an_item": round((measured[1] - measured[0]) / items),
                "estimated_bytes_an_item": round((told[1] - told[0]) / items),
            }
            row["estimate_to_measured"] = round(
                row["estimated_bytes_an_item"] / row["bytes_an_item"], 3
            )
            rows.append(row)
            print(json.dumps(row), flush=True)
    if chosen.nets == list(BATCHES):
        chosen.results.write_text(json.dumps({**machine.facts({}), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
