"""Many files and one large file: does time grow as they do, and memory not at all?

    scripts/with-venv bench/scale.py [--files 25000 50000 100000] [--size 20] [--scratch DIR]

Each work is packed by the real command into an OCI layout, with the preflight: first, with nothing
changed (the best of five), with one file edited. The large file is a hole in the file system of
``--size`` GiB: it is read, hashed and compressed whole, and takes no room. 0 leaves it out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import machine
import works

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests"))

from support.jobs import base_layout  # noqa: E402 - found through the line above
from support.tiny_image import busybox, tiny_base  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "scale.json"
FILES_A_FOLDER = 200
FILE_BYTES = 1200
UNCHANGED_TURNS = 5
PACK = ("pack", "--no-load", "--solver", "/data/solver.prototxt", "--image", "job:1")

MEASURE = """\
import os, sys, time
began = time.perf_counter()
pid = os.posix_spawn(sys.executable, [sys.executable, "-m", "uaitrain", *sys.argv[1:]], os.environ)
print(pid, flush=True)
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small parent, because a child's peak begins with what its parent held (getrusage(2))."""


@dataclass
class Watch:
    """The most memory that a process and all below it held together, looked at 50 times a second.

    Pages that several share are counted once (``Pss`` of proc_pid_smaps(5)).
    """

    pid: int
    most_kib: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._done.wait(0.02):
            self.most_kib = max(self.most_kib, sum(map(_held, _tree(self.pid))))

    def stop(self) -> None:
        self._done.set()


def _tree(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        try:
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue
    return found


def _held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def pack(work: works.Work, base: str, environment: dict[str, str]) -> dict[str, float]:
    """Wall and processor seconds and peak memory of one pack."""
    command = [*PACK, "--base-cpu", base, "--base-gpu", base, "--layout", "images"]
    with subprocess.Popen(
        [sys.executable, "-c", MEASURE, *command],
        cwd=work.folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        watch = Watch(int(process.stdout.readline()))
        beside = threading.Thread(target=watch.run)
        beside.start()
        said, errors = process.stdout.read(), process.stderr.read()
        watch.stop()
        beside.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{errors}")
    seconds, cpu, peak = map(float, said.splitlines()[-1].split())
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu, 3),
        "peak_rss_mib": round(peak / 1024, 1),
        "peak_tree_mib": round(watch.most_kib / 1024, 1),
    }


def cases(work: works.Work, base: str, state: Path) -> dict[str, dict[str, float]]:
    """The three cases with a cache of their own."""
    environment = {"UAITRAIN_CACHE": str(state / "cache"), "UAITRAIN_CONFIG": str(state)}
    os.sync()
    time.sleep(1)
    told = {"first": pack(work, base, environment)}
    turns = [pack(work, base, environment) for _ in range(UNCHANGED_TURNS)]
    told["unchanged"] = min(turns, key=lambda turn: turn["seconds"])
    work.edit(1)
    time.sleep(0.2)
    told["edited"] = pack(work, base, environment)
    for case, figures in told.items():
        print(f"  {work.name} {case:<9} {figures}", file=sys.stderr, flush=True)
    return told


def many(folder: Path, count: int) -> works.Work:
    """``count`` files of 1.2 KB of program text."""
    small = works.a_small(folder)
    work = works.Work(f"{count} files", small.folder)
    text = (work.code / works.EDITED).read_bytes()
    for number in range(count - len(work.files())):
        place = work.code / f"part_{number // FILES_A_FOLDER:04}"
        place.mkdir(exist_ok=True)
        start = number * 7 % (len(text) - FILE_BYTES)
        data = b"# %08d\n" % number + text[start : start + FILE_BYTES]
        (place / f"module_{number:06}.txt").write_bytes(data)
    return work


def large(folder: Path, gib: int) -> works.Work:
    work = works.Work(f"one file of {gib} GiB", works.a_small(folder).folder)
    with (work.code / "weights.bin").open("wb") as file:
        file.truncate(gib << 30)
    return work


def growth(told: dict[str, dict[str, dict[str, float]]], counts: Sequence[int]) -> dict[str, float]:
    """For each case: the last work's processor seconds a file by the first one's. 1 is linear.

    Processor time, because a wall clock tells of others on the machine too.
    """
    first, last = f"{counts[0]} files", f"{counts[-1]} files"
    return {
        case: round(
            (told[last][case]["cpu_seconds"] / counts[-1])
            / (told[first][case]["cpu_seconds"] / counts[0]),
            2,
        )
        for case in told[first]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--size", type=int, default=20, help="GiB of the one large file")
    parser.add_argument("--scratch", type=Path, help="folder with 2 GB to work in")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    facts = {"load_at_start": machine.load(), "machine": machine.facts({})}
    told: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="uaitrain-scale-", dir=options.scratch) as scratch:
        state = Path(scratch)
        base = base_layout(state / "base", tiny_base(busybox(state)))
        makers = [partial(many, count=count) for count in options.files]
        if options.size:
            makers.append(partial(large, gib=options.size))
        for number, make in enumerate(makers):
            place = state / str(number)
            work = make(place / "work")
            told[work.name] = cases(work, base, place)
            subprocess.run(["rm", "-rf", str(place)], check=True)
    grown = growth(told, options.files)
    document = {"works": told, "growth_of_processor_seconds_a_file": grown, **facts}
    options.results.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps({"works": told, "growth_of_processor_seconds_a_file": grown}, indent=1))


if __name__ == "__main__":
    main()
