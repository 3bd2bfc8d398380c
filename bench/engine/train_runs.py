"""One run of a whole ``train`` command, ours or real Caffe's, and its iterations a second."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from zoo import ZOO, with_constants, with_lmdb

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "packages" / "uaitrain" / "tests"))
sys.path.insert(0, str(REPOSITORY / "packages" / "caffe-torch" / "tests"))

from jobs import lay_out_mnist  # noqa: E402 - found through the lines above
from oracle.program import oracle_argv  # noqa: E402

__all__ = ["CAFFE", "JOBS", "OURS", "TOOLS", "Job", "busy_core", "lay_out", "lay_out_mnist", "rate"]

OURS, CAFFE = "caffe-torch", "caffe"
TOOLS = (CAFFE, OURS)
_STAMP = re.compile(r"^I(\d{4} \d\d:\d\d:\d\d\.\d{6}) .*\] Iteration (\d+)[, ]", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """``net`` of the zoo at a batch size for so many iterations, of which the first are not
    counted: memory grows and kernels are chosen there."""

    net: str
    batch: int
    iterations: int
    skipped: int


JOBS = (
    Job("lenet", 64, 700, 100),
    Job("cifar10_quick", 100, 70, 10),
    Job("cifar10_full", 100, 35, 5),
    Job("autoencoder", 100, 180, 20),
    Job("siamese", 64, 120, 20),
    Job("caffenet", 16, 8, 2),
    Job("googlenet", 8, 8, 2),
    Job("resnet50", 4, 8, 2),
)


def lay_out(folder: Path, job: Job, seen: str) -> str:
    """The job's files in ``folder``, which the tool sees as ``seen``; the solver's path there."""
    stem = f"{job.net}-{'oracle' if seen == '/data' else 'ours'}"
    if job.net == "lenet":
        text = with_lmdb("lenet", f"{seen}/mnist_train_lmdb", job.batch)
    else:
        text = with_constants(job.net, job.batch)
    (folder / f"{stem}.prototxt").write_text(text)
    (folder / f"{stem}-solver.prototxt").write_text(
        f'net: "{seen}/{stem}.prototxt" {ZOO[job.net].solver} max_iter: {job.iterations} '
        f"display: {job.skipped} random_seed: 1 snapshot_after_train: false "
        f'snapshot_prefix: "{seen}/{stem}" solver_mode: CPU'
    )
    return f"{seen}/{stem}-solver.prototxt"


def rate(folder: Path, job: Job, tool: str, threads: int) -> float:
    """Iterations a second, by the log's own times. Raises RuntimeError when the training fails."""
    counts = {
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }
    environment = {**os.environ, **counts}
    if tool == CAFFE:
        argv = oracle_argv(folder, "train", f"--solver={lay_out(folder, job, '/data')}")
        # What this machine sets for numpy's OpenBLAS would slow Caffe's.
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            environment.pop(name, None)
    else:
        argv = [sys.executable, "-m", "caffe", "train"]
        argv.append(f"--solver={lay_out(folder, job, str(folder))}")
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    times = {int(number): stamp for stamp, number in _STAMP.findall(done.stderr)}
    if done.returncode or job.iterations not in times:
        raise RuntimeError(f"{tool} did not train {job.net}:\n{done.stderr[-3000:]}")
    seconds = (_when(times[job.iterations]) - _when(times[job.skipped])).total_seconds()
    return (job.iterations - job.skipped) / seconds


def _when(stamp: str) -> datetime:
    return datetime.strptime(f"2024{stamp}", "%Y%m%d %H:%M:%S.%f")


@contextmanager
def busy_core() -> Iterator[None]:
    """Something else that computes all the time, on one core."""
    program = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            yield
        finally:
            process.kill()
