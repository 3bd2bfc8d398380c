"""Kill a run at random moments, again and again: is one lost, is an iteration counted twice?

    scripts/with-venv bench/rehearsal.py [--kills 50] [--seed N] [--results FILE]

LeNet on MNIST is packed as any job is and trains with real Caffe in a Docker engine of the bench's
own. One run is left alone. Then runs are started and killed (SIGKILL to the whole container) at a
random moment after each start, until they have come to their end and the kills are used up. What
has to hold after each start is what ``uaitrain test --rehearse-preemption`` claims.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import machine

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests"))

from support.engines import running_docker  # noqa: E402 - found through the line above
from uaitrain.engines import Engine  # noqa: E402
from uaitrain.engines.facts import LocalFacts  # noqa: E402
from uaitrain.runs import pairs, rehearsal  # noqa: E402
from uaitrain.runs.attempts import KILLED, Attempts, KillAfter, Nothing  # noqa: E402
from uaitrain.runs.live import NoView  # noqa: E402
from uaitrain.runs.rehearsal_job import prepared  # noqa: E402
from uaitrain.spec import CPU, Framework, Target, TrainSpec  # noqa: E402

EXAMPLE = ROOT / "examples" / "mnist"
RESULTS = ROOT / "bench" / "results" / "rehearsal.json"
BASE = "caffe-1.0.0-debian11-cpu"
IMAGE = "rehearsed-lenet"
FACTS = LocalFacts()
ITERATIONS = 200
SOLVER = f"""\
net: "/data/data/lenet_train_test.prototxt"
base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75
test_iter: 2 test_interval: 50 display: 1 max_iter: {ITERATIONS} snapshot: 10
snapshot_prefix: "/data/output/lenet" solver_mode: CPU
"""
SHORTEST_SECONDS, LONGEST_SECONDS = 0.2, 6.0
"""When a kill comes after the start: from before the container is up to well into training."""


@dataclass
class Tally:
    """What was counted over all runs."""

    kills: int = 0
    before_training: int = 0
    within_snapshots: int = 0
    starts: int = 0
    trained_again: int = 0
    moments: list[float] = field(default_factory=list)
    runs: list[dict[str, object]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    say(f"seed {arguments.seed}")
    began = time.monotonic()
    with running_docker() as docker, tempfile.TemporaryDirectory() as folder:
        facts = machine.facts(docker.engine.environment)
        spec = packed(Path(folder), docker.engine)
        say("one run is left alone")
        reference = one_run(spec, docker.engine, Tally(), random.Random(0), 0)  # noqa: S311
        tally, moments = Tally(), random.Random(arguments.seed)  # noqa: S311 - not a secret
        while tally.kills < arguments.kills:
            tally.runs.append(one_run(spec, docker.engine, tally, moments, arguments.kills))
            say(f"run {len(tally.runs)} done, {tally.kills} kills so far")
    lost = [run for run in tally.runs if run["iteration"] != reference["iteration"]]
    results = {
        "machine": facts,
        "seed": arguments.seed,
        "seconds": round(time.monotonic() - began, 1),
        "max_iter": ITERATIONS,
        "kills": tally.kills,
        "kills_before_the_first_iteration": tally.before_training,
        "kills_within_a_snapshot": tally.within_snapshots,
        "kill_moments_seconds": [round(each, 2) for each in sorted(tally.moments)],
        "runs": len(tally.runs),
        "runs_lost": len(lost),
        "starts": tally.starts,
        "iterations_trained_again": tally.trained_again,
        "iterations_saved_twice": sum(int(str(run["saved_twice"])) for run in tally.runs),
        "final_iteration_unkilled": reference["iteration"],
        "final_iterations": sorted({int(str(run["iteration"])) for run in tally.runs}),
        "claims_not_proven": tally.wrong,
    }
    arguments.results.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))
    sys.exit(1 if lost or tally.wrong else 0)


def packed(folder: Path, engine: Engine) -> TrainSpec:
    """The job, its image packed and loaded by ``uaitrain pack``."""
    data, code = folder / "data", folder / "code"
    code.mkdir()
    subprocess.run(
        [sys.executable, str(EXAMPLE / "make_lmdb.py"), str(data)], check=True, stdout=sys.stderr
    )
    shutil.copy(EXAMPLE / "code" / "lenet_train_test.prototxt", data)
    (code / "solver.prototxt").write_text(SOLVER)
    build = [sys.executable, "-m", "uaitrain", "base", "build", BASE]
    subprocess.run(build, stdout=sys.stderr, check=True)
    words = [f"--image={IMAGE}:bench", "--solver=/data/solver.prototxt", f"--data={data}"]
    words += [f"--base-cpu={BASE}", f"--base-gpu={BASE}", "--container-engine=docker"]
    subprocess.run(
        [sys.executable, "-m", "uaitrain", "pack", *words],
        cwd=folder,
        env=os.environ | dict(engine.environment),
        stdout=sys.stderr,
        check=True,
    )
    return TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=code,
        main_file="train.py",
        data=data,
        output=folder / "output",
        target=Target("", "", IMAGE, "bench"),
        solver="/data/solver.prototxt",
    )


def one_run(
    spec: TrainSpec, engine: Engine, tally: Tally, moments: random.Random, most: int
) -> dict[str, object]:
    """Start a run until it is finished, killing it while ``most`` kills are not used up."""
    with prepared(spec, CPU, engine, FACTS, 0) as (job, output):
        attempts = Attempts(job, output, engine, FACTS, NoView())
        starts: list[rehearsal.Claim] = []
        while True:
            moment = moments.uniform(SHORTEST_SECONDS, LONGEST_SECONDS)
            kills = tally.kills < most
            attempt = attempts.start(KillAfter(moment) if kills else Nothing())
            tally.starts += 1
            if attempt.exit_code != KILLED or attempt.first is not None:
                starts.append(rehearsal.went_on(attempt, 1, ITERATIONS))
            if attempt.exit_code != KILLED or not kills:
                break
            tally.kills += 1
            tally.moments.append(moment)
            tally.before_training += attempt.first is None
            tally.within_snapshots += has_staged(output)
            tally.trained_again += max(0, attempt.last - attempt.saved)
        claims = [
            *starts,
            rehearsal.finished(attempts.done),
            rehearsal.history(attempts.done),
            rehearsal.none_taken(attempts.halves, starts),
        ]
        tally.wrong += [str(claim) for claim in claims if not claim.proven]
        saved = [iteration for each in attempts.done for iteration in dict.fromkeys(each.appeared)]
        return {
            "starts": len(attempts.done),
            "iteration": attempt.saved if attempt.exit_code == 0 else None,
            "saved_twice": len(saved) - len(set(saved)),
        }


def has_staged(output: Path) -> bool:
    """Whether the kill left a snapshot behind that was not at its final place yet."""
    return any(
        pairs.is_snapshot_file(path.name)
        for folder in output.glob(".*")
        if folder.is_dir()
        for path in folder.iterdir()
        if not path.name.startswith("restore.")
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
