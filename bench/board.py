"""What TensorBoard's sidecar costs a run: CPU time and memory, beside a log that grows.

    scripts/with-venv bench/board.py [--seconds 60]

A log grows by ten displays a second (three lines each, as real Caffe writes them) while the
sidecar follows it under this machine's Python, with the file that pack puts into images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uaitrain.bases import board_file
from uaitrain.progress import Silent

_PREFIX = "I1123 14:25:50.746145     7 solver.cpp:239] "
_DISPLAY = (
    "{prefix}Iteration {step} (6.3 iter/s, 3.1s/20 iters), loss = 0.96\n"
    "{prefix}    Train net output #0: loss = 0.96 (* 1 = 0.96 loss)\n"
    "{prefix}Iteration {step}, lr = 0.01\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long the log grows")
    seconds = parser.parse_args().seconds
    archive = board_file.fetch(Silent()) / board_file.FILE
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(archive, Path(folder), seconds)))


def _measure(archive: Path, folder: Path, seconds: int) -> dict[str, float]:
    log = folder / "run.log"
    with log.open("w", buffering=1) as file:
        words = [sys.executable, str(archive), str(log), str(folder / "run.tensorboard")]
        process = subprocess.Popen(words, stdin=subprocess.PIPE)
        file.write(_DISPLAY.format(prefix=_PREFIX, step=0))
        time.sleep(5)
        started = _cpu_seconds(process.pid)
        for step in range(1, seconds * 10):
            file.write(_DISPLAY.format(prefix=_PREFIX, step=step))
            time.sleep(0.1)
        used = _cpu_seconds(process.pid) - started
    memory = _resident_bytes(process.pid)
    assert process.stdin is not None
    ended = time.monotonic()
    process.stdin.close()
    process.wait()
    return {
        "cpu_percent": round(100 * used / seconds, 2),
        "start_cpu_seconds": round(started, 2),
        "resident_mib": round(memory / 2**20, 1),
        "end_seconds": round(time.monotonic() - ended, 3),
    }


def _cpu_seconds(pid: int) -> float:
    """User and system time (fields 14 and 15 of proc(5)'s stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
