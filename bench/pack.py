"""Our pack and push against other tools on the same work; what `make bench` runs.

    bench/pack.py            all works, to bench/results/pack.json (half an hour on 2 cores)
    bench/pack.py --quick    A-small, one round, us and docker
    bench/pack.py --table    the table of the last results again

Every tool gets a registry of its own that holds only the base, and packs the work three times:
first, with nothing changed, with one code file edited. Tools take turns, rounds repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import machine
import report
import verify
from tools import TOOLS, NotHereError, Place, Tool, call
from works import WORKS, Work

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests"))

from support.engines import running_docker  # noqa: E402 - found through the line above
from support.registry import running_registry  # noqa: E402
from support.tiny_image import busybox, tiny_base  # noqa: E402
from uaitrain.bases import labels  # noqa: E402
from uaitrain.oci.image import Image  # noqa: E402
from uaitrain.oci.reference import Reference  # noqa: E402
from uaitrain.registry import connect  # noqa: E402
from uaitrain.registry.push import push_image  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "pack.json"
ROUNDS = {"A-small": 9, "B-many": 3, "C-large": 3}
NEEDS_ENGINE = {"docker", "buildkit", "torchx"}
SETTLE_SECONDS = 0.3


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Bench:
    """``state`` is a folder for everything that is made on the way."""

    state: Path
    base: Image
    environment: dict[str, str]
    results: report.Results
    edits: int = 0

    def cycle(self, tool: Tool, work: Work, *, checked: bool) -> None:
        """One tool's three cases against a fresh registry."""
        folder = self.state / "registry"
        folder.mkdir()
        try:
            with running_registry(folder) as running:
                place = Place(running.host, self.state, {**self.environment, **tool.environment})
                reference = Reference.parse(place.base)
                push_image(connect(running.host), self.base, reference)
                for words in tool.prepare(place, work):
                    call(words, place.environment, work.folder)
                self._cases(tool, work, place, checked)
        finally:
            shutil.rmtree(folder)

    def _cases(self, tool: Tool, work: Work, place: Place, checked: bool) -> None:
        pushed = ""
        for case in report.CASES:
            if case == "edited":
                self.edits += 1
                work.edit(self.edits)
            seconds = self._timed(tool.commands(place, work), place, work)
            self.results.add(work.name, case, tool.name, seconds)
            say(f"  {work.name} {case:<9} {tool.name:<9} {seconds:8.2f} s")
            # What an unchanged pack pushed is proven where it is the same image.
            if checked and verify.digest(place.target) != pushed:
                verify.check(place.target, work)
                pushed = verify.digest(place.target)

    def _timed(self, commands: Sequence[list[str]], place: Place, work: Work) -> float:
        # The writes of what ran before are not this tool's.
        os.sync()
        time.sleep(SETTLE_SECONDS)
        began = time.perf_counter()
        for words in commands:
            call(words, place.environment, work.folder)
        return time.perf_counter() - began


def make_tools(names: Sequence[str], state: Path, environment: dict[str, str]) -> list[Tool]:
    """The tools that are on this machine; it is said which are not."""
    found = []
    os.environ.update(environment)
    for name in names:
        scratch = state / name
        scratch.mkdir()
        try:
            tool = TOOLS[name](scratch)
        except NotHereError as error:
            say(f"without {name}: {error}")
        else:
            say(f"with {name}: {tool.remark}")
            found.append(tool)
    return found


def measure(arguments: argparse.Namespace, state: Path) -> None:
    with ExitStack() as stack:
        (state / "logins").mkdir()
        (state / "logins" / "config.json").write_text("{}")
        environment = {"DOCKER_CONFIG": str(state / "logins")}
        if NEEDS_ENGINE & set(arguments.tools):
            engine = state / "engine"
            engine.mkdir()
            environment["DOCKER_HOST"] = stack.enter_context(running_docker(engine)).host
        tools = make_tools(arguments.tools, state, environment)
        facts = machine.facts(environment)
        loads: dict[str, float] = {}
        facts |= {"tools": {tool.name: tool.remark for tool in tools}, "load_at_start": loads}
        base = tiny_base(busybox(state)).configure(
            working_dir="/data", labels={labels.PYTHON: "3.9.2"}
        )
        bench = Bench(state, base, environment, report.Results())
        for name in arguments.works:
            say(f"making {name}")
            work = WORKS[name](state / name)
            os.sync()
            loads[name] = machine.load()
            for number in range(arguments.rounds or ROUNDS[name]):
                turn = number % len(tools)
                for tool in tools[turn:] + tools[:turn]:
                    bench.cycle(tool, work, checked=number == 0)
                report.write(arguments.results, bench.results.rows())
                report.write(arguments.results.with_suffix(".meta.json"), facts)
            shutil.rmtree(work.folder)
        say(json.dumps(facts, indent=1))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a look: A-small, one round")
    parser.add_argument("--table", action="store_true", help="print the results as Markdown")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--rounds", type=int, default=0, help="default: 9 for A-small, else 3")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--scratch", type=Path, help="folder with 12 GB to work in (default: /tmp)")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.works, arguments.tools, arguments.rounds = ["A-small"], ["uaitrain", "docker"], 1
        if arguments.results == RESULTS:
            parser.error("--quick is no measurement: give it a file of its own by --results")
    return arguments


def main() -> None:
    arguments = parse(None)
    if not arguments.table:
        with tempfile.TemporaryDirectory(prefix="uaitrain-bench-", dir=arguments.scratch) as state:
            measure(arguments, Path(state))
    print(report.table(json.loads(arguments.results.read_text())))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{' '.join(failed.cmd)} ended with {failed.returncode}:\n{failed.output}")
