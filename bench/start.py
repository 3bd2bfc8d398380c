"""How long until our command does something, beside Python itself that does nothing.

    scripts/with-venv bench/start.py            to bench/results/start.json

Commands take turns; figures are medians of whole processes, in milliseconds. The pack is A-small
into a registry, unchanged and with one file edited. Then Python says itself
what the modules of each command took (``-X importtime``, which makes all of them slower), and which
took the most.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import machine
import report
from tools import BASE, Place, uaitrain
from works import Work, a_small

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests"))

from support.registry import running_registry  # noqa: E402 - found through the line above
from support.tiny_image import busybox, tiny_base  # noqa: E402
from uaitrain.bases import labels  # noqa: E402
from uaitrain.oci.reference import Reference  # noqa: E402
from uaitrain.registry import connect  # noqa: E402
from uaitrain.registry.push import push_image  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "start.json"
PROGRAM = str(Path(sys.executable).with_name("uaitrain"))
SHOWN_MODULES = 12
_IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """``before`` runs untimed each time."""

    name: str
    words: Sequence[str]
    before: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Bench:
    work: Work
    environment: Mapping[str, str]

    def run(self, command: Command, *extra: str) -> str:
        """Runs it in the work's folder; what it wrote to its standard error."""
        return subprocess.run(
            [command.words[0], *extra, *command.words[1:]],
            cwd=self.work.folder,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        ).stderr

    def timed(self, command: Command) -> float:
        command.before()
        began = time.perf_counter()
        self.run(command)
        return (time.perf_counter() - began) * 1000


def commands(work: Work, pack: Sequence[str]) -> list[Command]:
    """``pack`` is a whole command line of the program."""
    edits = iter(range(1, 1_000_000))
    python = sys.executable
    return [
        Command("python -I -S -c pass", [python, "-I", "-S", "-c", "pass"]),
        Command("python -c pass", [python, "-c", "pass"]),
        Command("uaitrain --help", [python, PROGRAM, "--help"]),
        Command("uaitrain pack --help", [python, PROGRAM, "pack", "--help"]),
        Command("uaitrain pack, unchanged", [python, *pack]),
        Command(
            "uaitrain pack, one file edited",
            [python, *pack],
            lambda: work.edit(next(edits)),
        ),
    ]


def imports(said: str) -> dict[str, object]:
    """What ``-X importtime`` wrote: how many modules, their sum, and those that took the most."""
    own = {name: int(micros) for micros, _, _, name in _IMPORT.findall(said)}
    most = sorted(own.items(), key=lambda item: -item[1])[:SHOWN_MODULES]
    return {
        "modules": len(own),
        "ms": round(sum(own.values()) / 1000, 1),
        "most_ms": {name: round(micros / 1000, 2) for name, micros in most},
    }


def measure(state: Path, rounds: int) -> dict[str, object]:
    for name in ("scratch", "logins"):
        (state / name).mkdir()
    (state / "logins" / "config.json").write_text("{}")
    work = a_small(state / "work")
    base = tiny_base(busybox(state)).configure(working_dir="/data", labels={labels.PYTHON: "3.9.2"})
    with running_registry(state) as registry:
        push_image(connect(registry.host), base, Reference.parse(f"{registry.host}/{BASE}"))
        tool = uaitrain(state / "scratch")
        environment = {**tool.environment, "DOCKER_CONFIG": str(state / "logins")}
        pack = tool.commands(Place(registry.host, state, environment), work)[0][0]
        return _measured(Bench(work, environment), commands(work, pack), rounds)


def _measured(bench: Bench, all_commands: Sequence[Command], rounds: int) -> dict[str, object]:
    busy = machine.busy()
    samples: dict[str, list[float]] = {command.name: [] for command in all_commands}
    for number in range(rounds + 1):
        for command in all_commands:
            taken = bench.timed(command)
            # The first of each finds cold files.
            if number:
                samples[command.name].append(round(taken, 2))
    imported = {}
    for command in all_commands:
        command.before()
        imported[command.name] = imports(bench.run(command, "-X", "importtime"))
    return {
        "median_ms": {name: round(statistics.median(each), 1) for name, each in samples.items()},
        "samples_ms": samples,
        "imports": imported,
        "cores_busy_before": busy,
        "machine": machine.facts(os.environ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="uaitrain-start-") as state:
        told = measure(Path(state), arguments.rounds)
    report.write(arguments.results, told)
    medians, imported = told["median_ms"], told["imports"]
    assert isinstance(medians, dict)
    assert isinstance(imported, dict)
    print("| command | ms | modules |\n| --- | ---: | ---: |")
    for name, milliseconds in medians.items():
        print(f"| `{name}` | {milliseconds:.1f} | {imported[name]['modules']} |")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; the folder in which it worked is gone")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{' '.join(failed.cmd)} ended with {failed.returncode}:\n{failed.stderr}")
