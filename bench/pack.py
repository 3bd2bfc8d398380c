"""Our pack and push against other tools on the same work; what `make bench` runs.

    bench/pack.py            all works, to bench/results/pack.json (half an hour on 2 cores)
    bench/pack.py --quick    A-small, three rounds, us, docker and crane: a minute
    bench/pack.py --table    the last results again, and the bars they meet and do not meet
    bench/pack.py --readme   put the last results into README.md

Every tool gets a registry of its own that holds only the base, and packs the work three times:
first, with nothing changed, with one code file edited. Tools take turns, rounds repeat, and the
rounds of the larger works lie between those of the small one.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bars
import machine
import report
import verify
from tools import TOOLS, NotHereError, Pipeline, Place, Tool, call, pipe
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
README = ROOT / "README.md"
ROUNDS = {"A-small": 9, "B-many": 3, "C-large": 3}
ONE_ROUND = {("C-large", "buildkit"), ("C-large", "buildah"), ("C-large", "torchx")}
"""A minute a case and no bar hangs on them: more of them would double the whole run."""
QUICK_TOOLS = ["uaitrain", "docker", "crane", "crane-pipe"]
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
            say(f"  {work.name} {case:<9} {tool.name:<10} {seconds:8.3f} s")
            # What an unchanged pack pushed is proven where it is the same image.
            if checked and verify.digest(place.target) != pushed:
                verify.check(place.target, work)
                pushed = verify.digest(place.target)

    def _timed(self, commands: Sequence[Pipeline], place: Place, work: Work) -> float:
        # The writes of what ran before are not this tool's.
        os.sync()
        time.sleep(SETTLE_SECONDS)
        began = time.perf_counter()
        for pipeline in commands:
            pipe(pipeline, place.environment, work.folder)
        return time.perf_counter() - began


def make_tools(
    names: Sequence[str], state: Path, environment: dict[str, str]
) -> tuple[list[Tool], dict[str, str]]:
    """The tools that can be had here, and why the others cannot."""
    found, missing = [], {}
    os.environ.update(environment)
    for name in names:
        scratch = state / name
        scratch.mkdir()
        try:
            tool = TOOLS[name](scratch)
        except NotHereError as error:
            say(f"without {name}: {error}")
            missing[name] = str(error)
        else:
            say(f"with {name}: {tool.remark}")
            found.append(tool)
    return found, missing


def rounds_of(works: Sequence[str], given: int) -> dict[str, int]:
    return {name: given or ROUNDS[name] for name in works}


def schedule(rounds: Mapping[str, int]) -> Iterator[tuple[int, str]]:
    """Each round's number and work: works with few rounds have them spread over the whole run."""
    total = max(rounds.values())
    done = dict.fromkeys(rounds, 0)
    for turn in range(total):
        for name, count in rounds.items():
            if turn * count % total < count:
                yield done[name], name
                done[name] += 1


def measure(arguments: argparse.Namespace, state: Path) -> None:
    with ExitStack() as stack:
        (state / "logins").mkdir()
        (state / "logins" / "config.json").write_text("{}")
        environment = {"DOCKER_CONFIG": str(state / "logins")}
        if NEEDS_ENGINE & set(arguments.tools):
            engine = state / "engine"
            engine.mkdir()
            environment["DOCKER_HOST"] = stack.enter_context(running_docker(engine)).host
        tools, missing = make_tools(arguments.tools, state, environment)
        base = tiny_base(busybox(state)).configure(
            working_dir="/data", labels={labels.PYTHON: "3.9.2"}
        )
        bench = Bench(state, base, environment, report.Results())
        rounds = rounds_of(arguments.works, arguments.rounds)
        works = {}
        for name in arguments.works:
            say(f"making {name}")
            works[name] = WORKS[name](state / name)
        document: dict[str, Any] = {
            "machine": machine.facts(environment),
            "tools": {tool.name: tool.remark for tool in tools},
            "missing": missing,
            "cores_busy_before": {name: [] for name in works},
            "load_before": {name: [] for name in works},
        }
        for number, name in schedule(rounds):
            os.sync()
            document["load_before"][name].append(machine.load())
            document["cores_busy_before"][name].append(machine.busy())
            say(f"{name}, round {number + 1} of {rounds[name]}")
            _round(bench, tools, works[name], number)
            rows = bench.results.rows()
            verdicts = bars.as_rows(bars.of_packs(rows))
            report.write(arguments.results, document | {"rows": rows, "bars": verdicts})


def _round(bench: Bench, tools: list[Tool], work: Work, number: int) -> None:
    turn = number % len(tools)
    for tool in tools[turn:] + tools[:turn]:
        if not number or (work.name, tool.name) not in ONE_ROUND:
            bench.cycle(tool, work, checked=number == 0)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a look, not a measurement")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--table", action="store_true", help="measure nothing: print the results")
    shown.add_argument("--readme", action="store_true", help="measure nothing: write README.md")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--rounds", type=int, default=0, help="default: 9 for A-small, else 3")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--scratch", type=Path, help="folder with 12 GB to work in (default: /tmp)")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.works, arguments.tools = ["A-small"], QUICK_TOOLS
        arguments.rounds = arguments.rounds or 3
        if arguments.results == RESULTS:
            parser.error("--quick is no measurement: give it a file of its own by --results")
    return arguments


def main() -> None:
    arguments = parse(None)
    if not arguments.table and not arguments.readme:
        with tempfile.TemporaryDirectory(prefix="uaitrain-bench-", dir=arguments.scratch) as state:
            measure(arguments, Path(state))
    document = json.loads(arguments.results.read_text())
    if arguments.readme:
        report.into_readme(README, document)
        return
    print(report.table(document["rows"]))
    print()
    print(bars.table(bars.of_packs(document["rows"])))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; what was measured so far is in the results")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{' '.join(failed.cmd)} ended with {failed.returncode}:\n{failed.output}")
