"""What the launcher costs a run: at its start, and in CPU time while the command trains.

    scripts/with-venv bench/launcher.py [--starts 41] [--seconds 60] [--python /usr/bin/python3]

Each start is timed with and without the launcher in turns, from the launcher's start to the first
byte that the command, a shell, prints. Then the command prints what Caffe prints at ten
displays a second, into a pipe, as under an engine, and the launcher's CPU time is read. The file
is the one that pack puts into images.
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

import machine
from uaitrain.frameworks import launcher

RESULTS = Path(__file__).parent / "results" / "launcher.json"
WAYS = ("without", "with", "with a run id", "second start")
_PREFIX = "I1123 14:25:50.746145     7 solver.cpp:239] "
DISPLAY = (
    f"{_PREFIX}Iteration 20 (6.3 iter/s, 3.1s/20 iters), loss = 0.96\n"
    f"{_PREFIX}    Train net output #0: loss = 0.96 (* 1 = 0.96 loss)\n"
    f"{_PREFIX}Iteration 20, lr = 0.01\n"
)
PRINTING = """
import sys, time
for _ in range({count}):
    sys.stdout.write({display!r})
    sys.stdout.flush()
    time.sleep(0.1)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=41, help="starts of each kind")
    parser.add_argument("--seconds", type=int, default=60, help="how long the command prints")
    system = Path("/usr/bin/python3")
    parser.add_argument("--python", default=str(system if system.exists() else sys.executable))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = machine.load()
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/{launcher.FILE}"
        Path(archive).write_bytes(launcher.archive())
        first = [options.python, archive]
        told: dict[str, object] = {
            "start_ms": starts(first, Path(folder), options.starts),
            "training": training(first, Path(folder), options.seconds),
            "python": _version(options.python),
            "load_at_start": load,
            "machine": machine.facts({}),
        }
    options.results.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps({key: told[key] for key in ("start_ms", "training")}, indent=1))


def starts(first: list[str], folder: Path, count: int) -> dict[str, float]:
    """Milliseconds from start to the command's first output: the median of each way, and what is
    added."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(count):
        output = folder / f"output-{turn}"
        line = f"echo begun; exit; python train.py --output_dir={output}"
        command = ["/bin/bash", "-c", line]
        ways: dict[str, tuple[list[str], dict[str, str]]] = {
            "without": (command, {}),
            "with": ([*first, *command], {}),
            "with a run id": ([*first, *command], {"UAITRAIN_RUN_ID": "bench"}),
            "second start": ([*first, *command], {"UAITRAIN_RUN_ID": "bench"}),
        }
        for way in WAYS:
            words, environment = ways[way]
            began = time.perf_counter()
            with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.read(1)
                seconds[way].append(time.perf_counter() - began)
                process.stdout.read()
            (output / ".uaitrain" / "bench.0.complete").unlink(missing_ok=True)
    medians = {way: statistics.median(found) * 1000 for way, found in seconds.items()}
    return {way: round(median, 1) for way, median in medians.items()} | {
        "added": round(medians["with"] - medians["without"], 1),
        "added with a run id": round(medians["with a run id"] - medians["without"], 1),
        "added at a second start": round(medians["second start"] - medians["without"], 1),
    }


def training(first: list[str], folder: Path, seconds: int) -> dict[str, float]:
    """CPU time of the launcher's own process from its command's first line to the last."""
    script = folder / "prints.py"
    script.write_text(PRINTING.format(count=seconds * 10, display=DISPLAY))
    words = [*first, first[0], str(script), f"--output_dir={folder / 'output'}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = _cpu_seconds(process.pid)
        lines = 1
        for _ in process.stdout:
            lines += 1
            if lines == seconds * 30:
                break
        used = _cpu_seconds(process.pid) - before
        memory = _resident_bytes(process.pid)
    return {
        "seconds": seconds,
        "lines": lines,
        "cpu_ms": round(used * 1000, 1),
        "cpu_percent": round(100 * used / seconds, 3),
        "resident_mib": round(memory / 2**20, 1),
    }


def _cpu_seconds(pid: int) -> float:
    """Time on a processor, in nanoseconds in the kernel's scheduler statistics."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _resident_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in fields if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def _version(python: str) -> str:
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip() or done.stderr.strip()


if __name__ == "__main__":
    main()
