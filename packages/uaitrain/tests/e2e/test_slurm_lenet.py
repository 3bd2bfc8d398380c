"""LeNet on MNIST, trained by our engine on two nodes of a real Slurm cluster.

Both nodes are this machine (gloo on its CPUs); that several machines give the same is for people
who have them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bases import REPOSITORY, BuiltBase
from support.shipped import Job
from support.slurm_cluster import RunningSlurm, slurm  # noqa: F401 a fixture
from support.slurm_site import running_jobs

EXAMPLE = REPOSITORY / "examples" / "mnist"
ITERATIONS = 200
SHORTER = {
    "max_iter: 1000": f"max_iter: {ITERATIONS}",
    "test_interval: 250": f"test_interval: {ITERATIONS}",
    "snapshot: 500": "snapshot: 0",
    "display: 100": "display: 20",
}
END = re.compile(r"Solver (\d) of 2 ends at iteration (\d+), weights (sha256:[0-9a-f]{64})")
WANTED_ACCURACY = 0.9


@pytest.fixture
def job(
    slurm: RunningSlurm,  # noqa: F811 the fixture
    torch_base: BuiltBase,
    tmp_path: Path,
) -> Iterator[Job]:
    folder = slurm.shared / tmp_path.name
    shutil.copytree(EXAMPLE / "code", folder / "code")
    solver = folder / "code" / "lenet_solver.prototxt"
    text = solver.read_text()
    for old, new in SHORTER.items():
        assert old in text
        text = text.replace(old, new)
    solver.write_text(text)
    maker = [sys.executable, str(EXAMPLE / "make_lmdb.py"), str(folder / "data")]
    subprocess.run(maker, check=True, capture_output=True)
    shutil.copy(EXAMPLE / "code" / "lenet_train_test.prototxt", folder / "data")
    (folder / "uaitrain.toml").write_text(
        'image = "lenet"\nengine = "torch"\nsolver = "/data/lenet_solver.prototxt"\n'
        f'[base]\ncpu = "{torch_base.oci}"\ngpu = "{torch_base.oci}"\n'
        f'[slurm]\nfolder = "{slurm.shared}/uaitrain"\nlayout = "{folder}/images"\n'
        "[run]\nnodes = 2\n"
    )
    environment = {**os.environ, **slurm.environment, "UAITRAIN_STATE": str(folder / "state")}
    made = Job(folder, environment)
    done = made.call("pack", "--layout", "images")
    assert done.returncode == 0, done.stderr
    yield made
    slurm.ask("scancel", "--quiet", "--user=root")
    slurm.wait_until(lambda: not running_jobs(slurm), "all jobs are gone")
    shutil.rmtree(folder, ignore_errors=True)


def ends_of(job: Job, run: str) -> list[tuple[str, str, str]]:
    """What each node's log says last: the solver, its iteration, the digest of its weights."""
    logs = [(job.folder / "output" / "log" / f"{run}.{rank}.log").read_text() for rank in range(2)]
    return [END.findall(log)[-1] for log in logs]


def check_same_weights(job: Job, told: dict[str, object]) -> None:
    first, second = ends_of(job, str(told["run_id"]))
    assert first[:2] == ("0", str(ITERATIONS))
    assert second[:2] == ("1", str(ITERATIONS))
    assert first[2] == second[2]
    assert (told["state"], told["iteration"]) == ("succeeded", ITERATIONS)
    assert (job.folder / "output" / f"lenet_iter_{ITERATIONS}.caffemodel").exists()


def test_both_nodes_end_with_the_same_weights(
    job: Job,
    slurm: RunningSlurm,  # noqa: F811 the fixture
) -> None:
    done = job.call("submit", "slurm", "--cpu", "--follow", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    check_same_weights(job, told)
    assert told["accuracy"] >= WANTED_ACCURACY
    said = (slurm.shared / "uaitrain" / "runs" / told["run_id"] / "log").read_text()
    assert sorted(re.findall(r"attempt 1 of \S+ on (n[12]) ", said)) == ["n1", "n2"]


def test_both_nodes_stop_with_one_snapshot_and_go_on_from_it(
    job: Job,
    slurm: RunningSlurm,  # noqa: F811 the fixture
) -> None:
    run = job.call("submit", "slurm", "--cpu").stdout.strip()
    log = job.folder / "output" / "log" / f"{run}.0.log"
    slurm.wait_until(
        lambda: log.exists() and re.search(r"Iteration [1-9]\d* ", log.read_text()) is not None,
        "it trains",
    )
    done = job.call("cancel", run)
    assert done.returncode == 0, done.stderr
    assert job.show(run)["exit_code"] == 143
    (state,) = (job.folder / "output").glob("*.solverstate")
    assert 0 < int(state.stem.rpartition("_")[2]) < ITERATIONS

    done = job.call("submit", "slurm", "--resume", run, "--follow", "--json")
    assert done.returncode == 0, done.stderr
    check_same_weights(job, json.loads(done.stdout))
    for rank in range(2):
        text = log.with_name(f"{run}.{rank}.log").read_text()
        assert f"--snapshot=/data/output/{state.name}" in text
