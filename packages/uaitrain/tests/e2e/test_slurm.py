"""Real Caffe on a real Slurm cluster, as people type it: packed into a layout, submitted, stopped,
requeued, and its node killed.

Both nodes are this machine; the cluster's programs are Debian's. Nothing here is a mock.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bases import BuiltBase
from support.shipped import Job
from support.slurm_cluster import RunningSlurm, slurm  # noqa: F401 a fixture
from support.slurm_site import processes_with, running_jobs

NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {
    shape { dim: 64 dim: 64 } shape { dim: 64 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
MAX_ITER = 60_000
SOLVER = f"""
net: "/data/net.prototxt" base_lr: 0.1 lr_policy: "fixed" display: 500 snapshot: 2000
max_iter: {MAX_ITER} snapshot_prefix: "/data/output/small" solver_mode: CPU
"""


@pytest.fixture
def job(
    slurm: RunningSlurm,  # noqa: F811 the fixture
    caffe_base: BuiltBase,
    tmp_path: Path,
) -> Iterator[Job]:
    """A packed job in a folder that both nodes see."""
    folder = slurm.shared / tmp_path.name
    for name in ("code", "data"):
        (folder / name).mkdir(parents=True)
    (folder / "code" / "net.prototxt").write_text(NET)
    (folder / "code" / f"{folder.name}.prototxt").write_text(SOLVER)
    (folder / "uaitrain.toml").write_text(
        f'image = "real"\nsolver = "/data/{folder.name}.prototxt"\n'
        f'[base]\ncpu = "{caffe_base.oci}"\ngpu = "{caffe_base.oci}"\n'
        f'[slurm]\nfolder = "{slurm.shared}/uaitrain"\nlayout = "{folder}/images"\n'
    )
    environment = {**os.environ, **slurm.environment, "UAITRAIN_STATE": str(folder / "state")}
    made = Job(folder, environment)
    done = made.call("pack", "--layout", "images")
    assert done.returncode == 0, done.stderr
    yield made
    slurm.ask("scancel", "--quiet", "--user=root")
    slurm.wait_until(lambda: not running_jobs(slurm), "all jobs are gone")
    shutil.rmtree(folder, ignore_errors=True)


def submit(job: Job, *words: str) -> str:
    done = job.call("submit", "slurm", "--cpu", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def handle_of(job: Job, run: str) -> str:
    return str(job.show(run)["handle"])


def newest(job: Job) -> int:
    """The iteration of the newest whole pair in the output folder; 0 without one."""
    output = job.folder / "output"
    pairs = [
        int(state.stem.rpartition("_")[2])
        for state in output.glob("small_iter_*.solverstate")
        if state.with_suffix(".caffemodel").exists()
    ]
    return max(pairs, default=0)


def wait_for_a_snapshot(cluster: RunningSlurm, job: Job) -> int:
    """The iteration of the newest pair as soon as there is one."""
    cluster.wait_until(lambda: newest(job) > 0, f"a snapshot in {job.folder}/output")
    return newest(job)


def check_went_on(log: str, seen: int) -> None:
    """The second attempt, and only that, began with a pair no older than the one that was seen."""
    (began,) = re.findall(r"started: .*--snapshot=\S+_iter_(\d+)\.solverstate", log)
    assert seen <= int(began) < MAX_ITER


def finish(cluster: RunningSlurm, job: Job, run: str) -> dict[str, object]:
    """What ``show`` tells when the run is over. Slurm would let a requeued job wait for minutes."""
    handle = handle_of(job, run)

    def over() -> bool:
        told = cluster.ask("squeue", "--noheader", "--format=%T %r", f"--job={handle}").stdout
        if "BeginTime" in told:
            cluster.hurry(handle)
        return not told.strip()

    cluster.wait_until(over, f"{run} is over")
    return job.show(run)


def check_finished(job: Job, run: str, told: dict[str, object]) -> str:
    """The log, once it is certain that the run reached its last iteration and nothing is left."""
    log = (job.folder / "output" / "log" / f"{run}.0.log").read_text()
    assert (told["state"], told["exit_code"], told["iteration"]) == ("succeeded", 0, MAX_ITER), log
    assert newest(job) == MAX_ITER
    assert (job.folder / "output" / ".uaitrain" / f"{run}.0.complete").exists()
    assert processes_with(f"/data/{job.folder.name}.prototxt") == []
    return log


def test_caffe_is_cancelled_after_a_snapshot_and_resumed(
    job: Job,
    slurm: RunningSlurm,  # noqa: F811 the fixture
) -> None:
    run = submit(job)
    wait_for_a_snapshot(slurm, job)
    done = job.call("cancel", run)
    assert done.returncode == 0, done.stderr
    stopped_at = newest(job)

    assert processes_with(f"/data/{job.folder.name}.prototxt") == []
    assert job.show(run)["exit_code"] == 143
    assert 0 < stopped_at < MAX_ITER
    again = job.call("submit", "slurm", "--resume", run)
    assert again.returncode == 0, again.stderr
    log = check_finished(job, run, finish(slurm, job, run))
    assert f"small_iter_{stopped_at}.solverstate" in log


def test_a_requeue_goes_on_from_the_newest_pair(
    job: Job,
    slurm: RunningSlurm,  # noqa: F811 the fixture
) -> None:
    run = submit(job)
    seen = wait_for_a_snapshot(slurm, job)
    assert slurm.ask("scontrol", "requeue", handle_of(job, run)).returncode == 0

    check_went_on(check_finished(job, run, finish(slurm, job, run)), seen)


def test_a_dead_nodes_run_finishes_on_the_other(
    job: Job,
    slurm: RunningSlurm,  # noqa: F811 the fixture
) -> None:
    run = submit(job)
    seen = wait_for_a_snapshot(slurm, job)
    try:
        slurm.kill_node("n1")
        told = finish(slurm, job, run)
    finally:
        slurm.start_node("n1")
        slurm.wait_until(slurm.nodes_are_idle, "both nodes are there again")

    check_went_on(check_finished(job, run, told), seen)
