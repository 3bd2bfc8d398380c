"""Random faults and kills: is a tag ever left with anything but a whole image?

    scripts/with-venv bench/faults.py [--schedules 500] [--seed N] [--results FILE]
    scripts/with-venv bench/faults.py --replay SEED

The real command, ``uaitrain pack --push`` in a process of its own, pushes an edited job to a real
registry through a proxy that has faults, and is killed, as a seed has drawn it. Before, the same
job was pushed whole, so that the tag has an old image; after, it is pushed once more without
faults. What has to hold after each schedule:

- the tag has the old image or the new one, and every byte of it is there, checked by its digest;
- the command ended by itself within its bound, with success, one message, or as it was told;
- no temporary file is left; those of a process that had no chance to clean up (SIGKILL) are gone
  after the next pack, once they are a day old;
- no upload is remembered that has ended;
- no password and no token is in any output or file.

The time limits of the command are shortened (1 s of silence instead of 60, pauses of 20 to 100 ms
instead of 0.5 to 8 s), nothing else is changed in it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import machine
from fault_schedules import KINDS, WAYS, Schedule, draw
from support.fault_proxy import FaultProxy, running_fault_proxy
from support.images import client
from support.jobs import base_layout, make_job
from support.registry import RunningRegistry, running_registry
from support.tiny_image import busybox, tiny_base
from uaitrain.bases import labels
from uaitrain.errors import UaitrainError
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import push_image

RESULTS = Path(__file__).parent / "results" / "faults.json"
_A_WORLD = 50
"""Schedules before the registries are started afresh, so that the disk does not fill."""
BOUND_SECONDS = 90.0
"""Far above what any schedule can take; who needs more hangs."""
LOGIN = ("mnist-user", "p4ss-of-the-campaign")
BASE = "vendor/base:1"
LONG_AGO_SECONDS = 8 * 24 * 3600
PROGRAM = """
from uaitrain.registry.transport import Retry, Transport
limits = Transport.__init__.__kwdefaults__
limits.update(connect_seconds=1.0, silence_seconds=1.0, retry=Retry(6, 0.02, 0.1, 1.5, 5.0))
from uaitrain.cli.main import run
run()
"""
EXPECTED = {0: "pushed", 5: "told", 6: "told", 130: "interrupted", 143: "interrupted", -9: "killed"}
JOB = """\
framework = "caffe-1.0.0"
image = "{image}"
solver = "/data/solver.prototxt"
[base]
cpu = "{base}"
gpu = "{base}"
"""


@dataclass
class World:
    """The registries, each behind its proxy."""

    folder: Path
    layout: str
    registries: dict[str, RunningRegistry] = field(default_factory=dict)
    proxies: dict[str, FaultProxy] = field(default_factory=dict)


@dataclass
class Outcome:
    """How the push under faults ended, and everything that must not be."""

    ended: str
    tag: str
    seconds: float
    wrong: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31))
    parser.add_argument("--replay", type=int, metavar="SEED", help="one schedule, and all it said")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.replay is not None:
        return replay(options.replay)
    began, load = time.monotonic(), machine.load()
    drawn = random.Random(options.seed)  # noqa: S311 no secret is drawn here
    seeds = [drawn.randrange(1 << 31) for _ in range(options.schedules)]
    say(f"campaign seed {options.seed}")
    tally = Tally()
    tiny = base()
    for start in range(0, len(seeds), _A_WORLD):
        with world(tiny) as here:
            for seed in seeds[start : start + _A_WORLD]:
                schedule = draw(seed, here.proxies.__getitem__)
                told = str(schedule)
                outcome = meet(here, schedule)
                tally.add(schedule, told, outcome)
                say(f"{told} -> {outcome.ended}, the tag has the {outcome.tag} image")
                for each in outcome.wrong:
                    say(f"  WRONG: {each}")
    results = tally.told(options.seed, seeds) | {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "load_at_start": load,
        "machine": machine.facts({}),
    }
    options.results.write_text(json.dumps(results, indent=1) + "\n")
    say(json.dumps(results["counts"]))
    return 1 if tally.wrong else 0


def replay(seed: int) -> int:
    with world(base()) as here:
        schedule = draw(seed, here.proxies.__getitem__)
        say(str(schedule))
        outcome = meet(here, schedule, aloud=True)
    say(f"{outcome.ended} after {outcome.seconds:.1f} s, the tag has the {outcome.tag} image")
    for each in outcome.wrong:
        say(f"  WRONG: {each}")
    return 1 if outcome.wrong else 0


def say(text: str) -> None:
    print(text, flush=True)


@dataclass
class Tally:
    """Counts over all schedules."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Counter[str]] = field(default_factory=lambda: {w: Counter() for w in WAYS})
    seconds: list[float] = field(default_factory=list)
    wrong: list[dict[str, object]] = field(default_factory=list)

    def add(self, schedule: Schedule, told: str, outcome: Outcome) -> None:
        self.counts["schedules"] += 1
        self.counts[outcome.ended] += 1
        self.counts[f"tag {outcome.tag}"] += 1
        self.counts["faults"] += len(schedule.faults)
        self.counts["with a kill"] += schedule.kill is not None
        for way in {name.partition(": ")[2] for name, _ in schedule.faults}:
            self.faults[way][outcome.ended] += 1
        self.seconds.append(outcome.seconds)
        if outcome.wrong:
            self.wrong.append({"schedule": told, "wrong": outcome.wrong})

    def told(self, seed: int, seeds: list[int]) -> dict[str, object]:
        return {
            "seed": seed,
            "counts": dict(self.counts),
            "by_fault": {way: dict(counts) for way, counts in self.faults.items()},
            "longest_seconds": round(max(self.seconds), 1),
            "wrong": self.wrong,
            "seeds": seeds,
        }


def base() -> Image:
    """A small one, labelled as bases are."""
    with tempfile.TemporaryDirectory(prefix="faults-base-") as folder:
        tiny = tiny_base(busybox(Path(folder)))
    return tiny.configure(labels={labels.PYTHON: "3.9.2", labels.ACCELERATOR: "cpu"})


@contextmanager
def world(tiny: Image) -> Iterator[World]:
    """Registries of each kind, with the base in them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        here = World(folder, base_layout(folder / "bases", tiny))
        for kind in KINDS:
            place = folder / kind
            place.mkdir()
            running = stack.enter_context(
                running_registry(
                    place, htpasswd=LOGIN if kind == "htpasswd" else None, token=kind == "token"
                )
            )
            if running.tokens:
                running.tokens.username, running.tokens.password = LOGIN
            there = Reference.parse(f"{running.host}/{BASE}")
            push_image(client(running.host, *LOGIN), tiny, there)
            here.registries[kind] = running
            here.proxies[kind] = stack.enter_context(running_fault_proxy(running.host))
        yield here


def meet(here: World, schedule: Schedule, *, aloud: bool = False) -> Outcome:
    """Push the old job, meet the faults with the edited one, push it once more."""
    proxy = here.proxies[schedule.kind]
    _calm(proxy, resumable=False)
    work = here.folder / f"work-{schedule.seed}"
    repository = f"team/job-{schedule.seed}"
    try:
        job = make_job(work / "job", "")
        named = f"{proxy.host}/{BASE}" if schedule.remote_base else here.layout
        image = f"{proxy.host}/{repository}:v1"
        (job.folder / "uaitrain.toml").write_text(JOB.format(image=image, base=named))
        wrong: list[str] = []
        code, output, _ = _push(work, proxy, None)
        old = _tagged(here, schedule, repository, wrong)
        if code:
            wrong.append(f"the push before: exit code {code}: {output}")
        rng = random.Random(schedule.seed)  # noqa: S311 the same noise each time
        (job.code / "helper.py").write_text(f"RATE = 0.{schedule.seed}\n")
        (job.code / "weights.bin").write_bytes(rng.randbytes(schedule.noise))

        _calm(proxy, resumable=schedule.resumable)
        proxy.faults = [fault for _, fault in schedule.faults]
        code, output, seconds = _push(work, proxy, schedule)
        if aloud:
            say(output)
        _calm(proxy, resumable=schedule.resumable)
        between = _tagged(here, schedule, repository, wrong)
        left = _leftovers(work)
        if code not in EXPECTED:
            wrong.append(f"exit code {code}: {output}")
        if "Traceback" in output or (EXPECTED.get(code) == "told" and output.count("error:") != 1):
            wrong.append(f"not one message: {output}")
        if left and code != -signal.SIGKILL:
            wrong.append(f"temporary files: {left}")

        _age(work)
        last, output_of_last, _ = _push(work, proxy, None)
        new = _tagged(here, schedule, repository, wrong)
        if last:
            wrong.append(f"the push after: exit code {last}: {output_of_last}")
        if between not in (old, new) or old == new:
            wrong.append(f"the tag has {between}, neither {old} nor {new}")
        if code == 0 and between != new:
            wrong.append("it said that it had pushed, and the tag has the old image")
        if left := _leftovers(work):
            wrong.append(f"temporary files after the next pack: {left}")
        if begun := [path.name for path in (work / "cache" / "uploads").glob("*")]:
            wrong.append(f"uploads remembered after they ended: {begun}")
        wrong += _secrets(work, proxy, output + output_of_last)
        tag = {old: "old", new: "new"}.get(between, "wrong")
        return Outcome(EXPECTED.get(code, "wrong"), tag, seconds, wrong)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _calm(proxy: FaultProxy, *, resumable: bool) -> None:
    """No faults; a refusal that goes on is waited for."""
    proxy.faults, proxy.resumable = [], resumable
    deadline = time.monotonic() + 5
    while not proxy.is_listening and time.monotonic() < deadline:
        time.sleep(0.02)
    proxy.requests, proxy.seen, proxy.received = [], [], 0
    proxy.watch = lambda: None


def _push(work: Path, proxy: FaultProxy, schedule: Schedule | None) -> tuple[int, str, float]:
    """Exit code, all output, seconds; a process that hangs is killed, and its code is 124."""
    for name in ("cache", "tmp", "home"):
        (work / name).mkdir(exist_ok=True)
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "UAITRAIN_CACHE": str(work / "cache"),
        "UAITRAIN_REGISTRY_USERNAME": LOGIN[0],
        "UAITRAIN_REGISTRY_PASSWORD": LOGIN[1],
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "pack", "--push", "--no-load"],
        cwd=work / "job",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if schedule and schedule.kill:
        kill = schedule.kill

        def watch() -> None:
            is_time = len(proxy.requests) >= kill.requests and proxy.received >= kill.received
            if is_time:
                proxy.watch = lambda: None
                process.send_signal(kill.number)

        proxy.watch = watch
    try:
        output, _ = process.communicate(timeout=BOUND_SECONDS)
        code = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        code, output = 124, f"hangs: {output}"
    return code, output, time.monotonic() - began


def _tagged(here: World, schedule: Schedule, repository: str, wrong: list[str]) -> str:
    """The digest that has the tag in the registry itself, of an image that is there whole."""
    running = here.registries[schedule.kind]
    try:
        own = client(running.host, *LOGIN)
        pulled = pull_image(own, Reference.parse(f"{running.host}/{repository}:v1"), Platform())
        validate(pulled.image, deep=True)
    except UaitrainError as error:
        wrong.append(f"the tag has no whole image: {error}")
        return "nothing"
    return str(pulled.digest)


def _files(work: Path) -> list[Path]:
    return [path for path in work.rglob("*") if path.is_file()]


def _leftovers(work: Path) -> list[str]:
    """Files that only a writer in the middle of its work has; ``uploads`` are the begun ones."""
    return sorted(
        str(path.relative_to(work))
        for path in _files(work)
        if path.name.startswith((".", "tmp")) or path.is_relative_to(work / "tmp")
    )


def _age(work: Path) -> None:
    """What lies there was left long ago; uploads that go on are younger."""
    then = time.time() - LONG_AGO_SECONDS
    for name in _leftovers(work):
        os.utime(work / name, (then, then))


def _secrets(work: Path, proxy: FaultProxy, output: str) -> list[str]:
    """Where the password, or what the requests were authorized by, can be read."""
    sent = {headers.get("Authorization", "").partition(" ")[2] for headers in proxy.seen}
    basic = base64.b64encode(":".join(LOGIN).encode()).decode()
    known = [text.encode() for text in {LOGIN[1], basic, *sent} if text]
    places = {"the output": output.encode()} | {
        str(path.relative_to(work)): path.read_bytes() for path in _files(work)
    }
    return [
        f"a secret is in {place}"
        for place, data in places.items()
        if any(each in data for each in known)
    ]


if __name__ == "__main__":
    sys.exit(main())
