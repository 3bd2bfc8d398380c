"""How long a Docker engine takes to get A-small's image when it has the base, and where that goes.

    scripts/with-venv bench/docker_load.py      to bench/results/docker_load.json

Each round edits one file and packs with the real command: both images into the engine, and no
registry. ``cpu_image`` is what loading the CPU image took by the command's own report (``--json``);
``gpu_image`` the other one, whose layers are then all there; ``command`` the whole process. Then
the image of one more edit is loaded step by step: ``docker load`` of its one new layer is the
engine's own work, the rest is the docker client asked what is there.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import machine
import report
from works import Work, a_small

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests"))

from support.engines import RunningDocker, running_docker  # noqa: E402 - found through the line above
from support.jobs import base_layout  # noqa: E402
from support.tiny_image import busybox, tiny_base  # noqa: E402
from uaitrain.bases import labels  # noqa: E402
from uaitrain.engines import store  # noqa: E402
from uaitrain.oci.layout import Layout  # noqa: E402
from uaitrain.oci.reference import Reference  # noqa: E402
from uaitrain.progress import Silent  # noqa: E402
from uaitrain.sinks import archive  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "docker_load.json"
PROGRAM = str(Path(sys.executable).with_name("uaitrain"))

Samples = dict[str, list[float]]


@dataclass(frozen=True)
class Bench:
    work: Work
    docker: RunningDocker
    base: str
    environment: dict[str, str]

    def pack(self, *places: str) -> tuple[dict[str, float], float]:
        """Seconds for each image by the command's own report, and of the whole command."""
        words = [PROGRAM, "pack", "--json", "--solver", "/data/solver.prototxt", "--image", "job:1"]
        began = time.perf_counter()
        done = subprocess.run(
            [*words, "--base-cpu", self.base, "--base-gpu", self.base, *places],
            cwd=self.work.folder,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - began
        stored = json.loads(done.stdout)["places"]
        return {place["image"]: place["seconds"] for place in stored}, seconds

    def steps(self, layout: Path, samples: Samples) -> None:
        """One load of the CPU image in ``layout``, step by step as the command does it."""
        image = Layout(layout).image("job-cpu:1")
        name = Reference.parse("job-cpu:1")
        engine = self.docker.engine

        def load() -> None:
            stream = io.BytesIO()
            planned = archive.plan(image, store.full_name(engine, name), reused)
            archive.write(planned, stream, Silent().start(""))
            subprocess.run(
                engine.argv("load", "--quiet"),
                input=stream.getvalue(),
                env=engine.child_environment(),
                capture_output=True,
                check=True,
            )

        _timed(samples, "is the name there", lambda: store.find(engine, name))
        reused = 0

        def count() -> None:
            nonlocal reused
            reused = store.shared_layers(engine, image.diff_ids)

        _timed(samples, "which layers are there", count)
        assert reused, "the engine has no layer of the base"
        _timed(samples, "docker load", load)
        _timed(samples, "is it there now", lambda: store.find(engine, name))


def _timed(samples: Samples, name: str, step: Callable[[], object]) -> None:
    began = time.perf_counter()
    step()
    samples.setdefault(name, []).append(round(time.perf_counter() - began, 4))


def measure(state: Path, rounds: int) -> dict[str, object]:
    (state / "engine").mkdir()
    work = a_small(state / "work")
    base = tiny_base(busybox(state)).configure(working_dir="/data", labels={labels.PYTHON: "3.9.2"})
    with ExitStack() as stack:
        docker = stack.enter_context(running_docker(state / "engine"))
        environment = {
            "DOCKER_HOST": docker.host,
            "DOCKER_CONFIG": str(state),
            "UAITRAIN_CACHE": str(state / "cache"),
            "UAITRAIN_CONFIG": str(state / "config"),
        }
        bench = Bench(work, docker, base_layout(state / "base", base), environment)
        # It brings the base along.
        bench.pack()
        busy = machine.busy()
        samples: Samples = {"cpu_image": [], "gpu_image": [], "command": []}
        steps: Samples = {}
        for number in range(rounds):
            work.edit(2 * number)
            images, seconds = bench.pack()
            samples["cpu_image"].append(images["cpu"])
            samples["gpu_image"].append(images["gpu"])
            samples["command"].append(round(seconds, 4))
            work.edit(2 * number + 1)
            bench.pack("--layout", str(state / f"layout{number}"))
            bench.steps(state / f"layout{number}", steps)
        facts = machine.facts(environment)
    return {
        "median_seconds": statistics.median(samples["cpu_image"]),
        "medians": {name: round(statistics.median(each), 4) for name, each in samples.items()},
        "steps": {name: round(statistics.median(each), 4) for name, each in steps.items()},
        "seconds": samples,
        "cores_busy_before": busy,
        "machine": facts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="uaitrain-docker-load-") as state:
        told = measure(Path(state), arguments.rounds)
    report.write(arguments.results, told)
    print(json.dumps({"medians": told["medians"], "steps": told["steps"]}, indent=1))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; the folder in which it worked is gone")
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{' '.join(failed.cmd)} ended with {failed.returncode}:\n{failed.stderr}")
