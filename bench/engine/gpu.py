#!/usr/bin/env python3
"""Does the engine compute on a GPU what it computes on a CPU, how fast, and in how much memory?

Needs the repository, the engine's own packages and a torch that sees a GPU; no network, no real
Caffe. Parity: before each iteration the device's solver gets the CPU solver's weights and history,
then both make one step on the same batch. Speed: whole training steps on constant data, LeNet once
more from an LMDB. With two GPUs: two solvers against one of the double batch.

    bench/engine/gpu.py [--results FILE] [--nets lenet …] [--device cuda|cpu]

``--device cpu`` runs the same code with tiny batches. Without a GPU it says so and exits with 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "packages" / "caffe-torch" / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch  # noqa: E402 - found through the lines above
from caffe import devices, memory, schema, weights  # noqa: E402
from caffe.solver import Solver  # noqa: E402
from lockstep import OUTLIER  # noqa: E402
from twins import Twins  # noqa: E402
from zoo import ZOO, with_constants, with_lmdb  # noqa: E402

SIZES = {
    # batch and iterations of parity, batch and iterations of speed
    "lenet": (16, 20, 64, 500),
    "caffenet": (2, 3, 256, 20),
    "googlenet": (2, 3, 32, 20),
    "resnet50": (2, 3, 32, 20),
}
TINY = (4, 3, 4, 3)
WARM_UP = 5


def solver_text(name: str, net: Path, iterations: int) -> str:
    return (
        f'net: "{net}" {ZOO[name].solver} max_iter: {iterations} display: 0 random_seed: 1 '
        f'snapshot_prefix: "{net.with_suffix("")}" snapshot_after_train: true'
    )


def written(folder: Path, name: str, stem: str, text: str, iterations: int) -> Path:
    """A net and its solver as files; the solver's path."""
    net, solver = folder / f"{stem}.prototxt", folder / f"{stem}-solver.prototxt"
    net.write_text(text)
    solver.write_text(solver_text(name, net, iterations))
    return solver


def parity(name: str, batch: int, iterations: int, device: torch.device) -> dict[str, Any]:
    """One row: the device's steps beside the CPU's."""
    steps = Twins(name, batch, iterations, device).run()
    outliers = [step for step in steps if step.largest > OUTLIER]
    return {
        "what": "parity", "net": name, "batch": batch, "iterations": len(steps),
        "loss": max(step.loss for step in steps),
        "update_median": statistics.median(step.update for step in steps),
        "outliers": len(outliers),
        "outliers_with_flips": len([step for step in outliers if step.is_explained]),
        "steps": [asdict(step) for step in steps],
    }  # fmt: skip


def speed(
    solver_file: Path, net: str, data: str, batch: int, iterations: int, device: torch.device
) -> dict[str, Any]:
    """One row: iterations a second, and the largest memory beside the estimate of ``shapes``."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    solver = Solver(schema.read_solver(solver_file).message, device=device)
    try:
        needed = memory.of_training(solver.net, [], 1)
        solver.step(WARM_UP)
        _wait(device)
        start = time.perf_counter()
        solver.step(iterations)
        _wait(device)
        seconds = time.perf_counter() - start
    finally:
        solver.close()
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {
        "what": "speed", "net": net, "data": data, "batch": batch, "iterations": iterations,
        "iterations_per_second": round(iterations / seconds, 2),
        "peak_bytes": peak, "estimated_bytes": needed.total,
    }  # fmt: skip


def together(folder: Path, source: Path, batch: int, device: torch.device) -> dict[str, Any]:
    """One row: two solvers, each with half of the records, against one with all of them."""
    iterations, found, seconds = 5, [], []
    kind = "--num_gpus" if device.type == "cuda" else "--solvers"
    for solvers, size in ((1, 2 * batch), (2, batch)):
        stem = f"together{solvers}"
        text = with_lmdb("lenet", str(source), size)
        path = written(folder, "lenet", stem, text, iterations)
        argv = [sys.executable, "-m", "caffe", "train", f"--solver={path}", f"{kind}={solvers}"]
        start = time.perf_counter()
        done = subprocess.run(
            argv, cwd=REPOSITORY / "packages" / "caffe-torch" / "src", capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        seconds.append(round(time.perf_counter() - start, 1))
        if done.returncode:
            raise RuntimeError(f"{solvers} solvers did not train:\n{done.stderr[-3000:]}")
        arrays = weights.arrays(str(folder / f"{stem}_iter_{iterations}.caffemodel"))
        found.append(
            [arrays[layer][index] for layer in sorted(arrays) for index in sorted(arrays[layer])]
        )
    worst = max(
        float(abs(one - other).max() / abs(one).max()) for one, other in zip(*found, strict=True)
    )
    return {
        "what": "two solvers", "net": "lenet", "batch": batch, "iterations": iterations,
        "largest_weight_difference": worst, "seconds": seconds,
    }  # fmt: skip


def measure(folder: Path, nets: list[str], device: torch.device) -> list[dict[str, Any]]:
    """All rows; each is printed when it is there."""
    rows: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        rows.append(row)
        print(line(row), flush=True)

    for name in nets:
        sizes = SIZES[name] if device.type == "cuda" else TINY
        add(parity(name, *sizes[:2], device))
        batch, iterations = sizes[2:]
        path = written(folder, name, name, with_constants(name, batch), iterations + WARM_UP)
        add(speed(path, name, "constants", batch, iterations, device))
    if "lenet" in nets:
        batch, iterations = (SIZES["lenet"] if device.type == "cuda" else TINY)[2:]
        maker = REPOSITORY / "examples" / "mnist" / "make_lmdb.py"
        subprocess.run([sys.executable, str(maker), str(folder)], check=True, capture_output=True)
        source = folder / "mnist_train_lmdb"
        text = with_lmdb("lenet", str(source), batch)
        path = written(folder, "lenet", "lenet-lmdb", text, iterations + WARM_UP)
        add(speed(path, "lenet", "LMDB", batch, iterations, device))
        if device.type == "cpu" or devices.count() > 1:
            add(together(folder, source, batch, device))
    return rows


def line(row: dict[str, Any]) -> str:
    """A row in words."""
    head = f"{row['what']:<12} {row['net']:<10} batch {row['batch']:<4}"
    if row["what"] == "parity":
        return (
            f"{head} loss within {row['loss']:.1e}, update median {row['update_median']:.1e}, "
            f"{row['outliers']} of {row['iterations']} steps above {OUTLIER:g}, "
            f"{row['outliers_with_flips']} of these with flips"
        )
    if row["what"] == "speed":
        peak = f"{row['peak_bytes'] / 2**20:.0f}" if row["peak_bytes"] is not None else "-"
        return (
            f"{head} {row['iterations_per_second']:8.2f} it/s on {row['data']}, peak {peak} MiB, "
            f"estimated {row['estimated_bytes'] / 2**20:.0f} MiB"
        )
    return (
        f"{head} weights within {row['largest_weight_difference']:.1e} of one solver's after "
        f"{row['iterations']} iterations"
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--nets", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--results", type=Path)
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not devices.count():
        print("torch sees no GPU here; --device cpu runs the same code on the CPU")
        return 2
    device = devices.chosen("0" if chosen.device == "cuda" else "")[0]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory(prefix="caffe-gpu-") as folder:
        rows = measure(Path(folder), chosen.nets, device)
    if chosen.results:
        about = {"device": name, "torch": torch.__version__, "gpus": devices.count()}
        chosen.results.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
