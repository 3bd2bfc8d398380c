"""Real Caffe whose data and results lie in a bucket, on a machine that keeps nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.bases import BuiltBase
from support.engines import RunningDocker
from support.shipped import ENDLESS, NET, Job, solver
from support.store import KEY, SECRET, Store, mover, store

__all__ = ["mover", "store"]

SETTINGS = """
image = "bucketed"
solver = "/data/data/solver.prototxt"
[base]
cpu = "{base}"
gpu = "{base}"
[run]
data = "s3://bucket/data"
output = "s3://bucket/results"
endpoint = "{endpoint}"
sync = 1
[local]
network = "host"
"""


@pytest.fixture
def job(docker_engine: RunningDocker, caffe_base: BuiltBase, store: Store, tmp_path: Path) -> Job:
    folder = tmp_path / "job"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "net.prototxt").write_text(NET)
    store.put("data/solver.prototxt", solver(ENDLESS).encode())
    # The preflight looks at the folder here.
    (folder / "data").mkdir()
    (folder / "data" / "solver.prototxt").write_text(solver(ENDLESS))
    settings = SETTINGS.format(base=caffe_base.oci, endpoint=store.line.url)
    (folder / "uaitrain.toml").write_text(settings)
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    state = {"UAITRAIN_STATE": str(tmp_path / "state")}
    return Job(folder, {**os.environ, **docker_engine.engine.environment, **keys, **state})


def test_results_come_to_the_bucket_and_a_new_container_goes_on_from_there(
    job: Job, store: Store, tmp_path: Path
) -> None:
    run = job.submit("--pack")
    job.wait_for(run, lambda told: (told["iteration"] or 0) >= 500)
    cancelled = job.call("cancel", run)
    assert cancelled.returncode == 0, cancelled.stderr
    assert f"s3://bucket/results/log/{run}.0.log" in job.call("logs", run).stderr
    results = store.bucket / "results"
    (state,) = results.glob("*.solverstate")
    end = (int(state.stem.rpartition("_")[2]) // 100 + 7) * 100
    store.put("data/solver.prototxt", solver(end).encode())
    # What was said at the first start need not be said again.
    settings = job.folder / "uaitrain.toml"
    settings.write_text(settings.read_text().partition("[run]")[0])
    again = job.call("submit", "local", "--resume", run, "--follow", "--json")

    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["state"], told["iteration"]) == ("succeeded", end)
    assert (results / f"small_iter_{end}.caffemodel").exists()
    log = (results / "log" / f"{run}.0.log").read_text()
    assert f"--snapshot=/data/output/{state.name}" in log
    for path in (*job.folder.rglob("*"), *(tmp_path / "state").iterdir()):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_an_image_without_the_mover_is_refused(job: Job) -> None:
    settings = job.folder / "uaitrain.toml"
    whole = settings.read_text()
    settings.write_text(whole.partition("[run]")[0])
    packed = job.call("pack")
    settings.write_text(whole)
    done = job.call("submit", "local")

    assert packed.returncode == 0, packed.stderr
    assert done.returncode == 2
    assert "cannot reach s3://" in done.stderr
