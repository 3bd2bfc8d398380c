"""Packing streams: what a pack holds in memory does not grow with what it packs."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from support.jobs import base_layout, make_job
from support.registry import RunningRegistry
from uaitrain.oci.image import Image

MOST_BYTES = 300e6

MEASURE = """\
import os, sys
pid = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small parent, because a child's peak begins with what its parent held (getrusage(2))."""


def test_a_gigabyte_of_weights_is_packed_and_pushed_in_little_memory(
    tmp_path: Path, tiny: Image, registry: RunningRegistry
) -> None:
    """One file that shrinks, compressed on its way, and one that does not, sent as it is."""
    base = base_layout(tmp_path / "bases", tiny)
    job = make_job(tmp_path / "work", base)
    with (job.code / "sparse.caffemodel").open("wb") as file:
        file.truncate(1 << 30)
    with (job.code / "dense.caffemodel").open("wb") as file:
        source = random.Random(1)  # noqa: S311 - test data
        for _ in range(384):
            file.write(source.randbytes(1 << 20))

    done = subprocess.run(
        [
            *(sys.executable, "-c", MEASURE, "-m", "uaitrain", "pack", "--push", "--no-load"),
            *("--solver", "/data/solver.prototxt", "--image", f"{registry.host}/team/job:v1"),
            *("--base-cpu", base, "--base-gpu", base, "--json"),
        ],
        cwd=job.folder,
        env=job.whole_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split()[-1]) * 1024
    assert 10e6 < peak < MOST_BYTES
