"""A run on Kubernetes as people type it: pack and push to a real registry, then submit.

The cluster is the stand-in of ``support.kube_server``; the test plays its controllers.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from support.jobs import SmallJob
from support.kube_server import Server, kube  # noqa: F401 a fixture
from support.registry import RunningRegistry

LOG = (
    "I1123 05:55:00.016389     7 solver.cpp:239] Iteration 10 (5 iter/s, 2s/10 iters), loss = 1.5",
    "I1123 05:55:01.016389     7 solver.cpp:239] Iteration 20 (5 iter/s, 2s/10 iters), loss = 0.5",
)


@pytest.fixture
def pushed(
    job: SmallJob,
    registry: RunningRegistry,
    kube: Server,  # noqa: F811
    tmp_path: Path,
) -> SmallJob:
    """The job's GPU image is in the registry, and the settings name the cluster's places."""
    job.environment |= {
        "KUBECONFIG": str(kube.kubeconfig),
        "NO_PROXY": "*",
        "UAITRAIN_STATE": str(tmp_path / "state"),
    }
    (job.folder / "uaitrain.toml").write_text(
        f"""\
image = "{registry.host}/team/mnist:v1"
solver = "/data/solver.prototxt"
[base]
cpu = "{job.base}"
gpu = "{job.base}"
[run]
data = "claim:datasets/mnist"
output = "claim:results"
secrets = ["WANDB_API_KEY"]
[kubernetes]
user = "4711:100"
"""
    )
    done = job.uaitrain("pack", "--push")
    assert done.returncode == 0, done.stderr
    job.environment["WANDB_API_KEY"] = "tell-nobody"
    return job


def _shown(job: SmallJob, run: str) -> dict[str, object]:
    told: dict[str, object] = json.loads(job.uaitrain("show", run, "--json").stdout)
    return told


def _submit(job: SmallJob, *words: str) -> str:
    done = job.uaitrain("submit", "kubernetes", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_dry_run_shows_every_object_and_asks_no_cluster(
    pushed: SmallJob,
    registry: RunningRegistry,
    kube: Server,  # noqa: F811
) -> None:
    done = pushed.uaitrain("submit", "kubernetes", "--dry-run", "--nodes", "2")
    job, secret, service = yaml.safe_load_all(done.stdout)
    (container,) = job["spec"]["template"]["spec"]["containers"]

    assert (job["kind"], secret["kind"], service["kind"]) == ("Job", "Secret", "Service")
    assert container["image"].startswith(f"{registry.host}/team/mnist:v1@sha256:")
    assert secret["stringData"] == {"WANDB_API_KEY": "<from the environment of submit>"}
    assert "tell-nobody" not in done.stdout + done.stderr
    assert kube.requests == []


def test_a_run_is_sent_watched_and_listed(
    pushed: SmallJob,
    kube: Server,  # noqa: F811
) -> None:
    run = _submit(pushed)
    sent = kube.cluster.of("Secret")[run]["stringData"]
    pod = kube.cluster.start_pod(run)
    pod.schedule_fails()
    waiting = _shown(pushed, run)
    pod.run()
    pod.write(LOG[0])
    running = _shown(pushed, run)
    pod.write(LOG[1])
    pod.end(0)
    kube.cluster.finish(run, "Complete")
    log = pushed.uaitrain("logs", run, "--follow")
    ended = _shown(pushed, run)

    assert sent == {"WANDB_API_KEY": "tell-nobody"}
    assert (waiting["state"], waiting["reason"]) == ("queued", "Unschedulable")
    assert running["state"] == "running"
    assert log.stdout.splitlines() == [*LOG]
    assert (ended["state"], ended["exit_code"], ended["iteration"]) == ("succeeded", 0, 20)
    assert run in pushed.uaitrain("runs").stdout
    assert b"tell-nobody" not in b"".join(
        path.read_bytes() for path in Path(pushed.environment["UAITRAIN_STATE"]).rglob("*.*")
    )


def test_a_run_is_cancelled_and_goes_on(
    pushed: SmallJob,
    kube: Server,  # noqa: F811
) -> None:
    run = _submit(pushed)
    kube.cluster.start_pod(run).run()
    ended = pushed.uaitrain("cancel", run)

    assert ended.returncode == 0, ended.stderr
    assert kube.cluster.pods == {}
    assert _shown(pushed, run)["state"] == "cancelled"
    assert _submit(pushed, "--resume", run) == run
    assert [*kube.cluster.of("Job")] == [run]


def test_a_refusal_is_told_without_a_trace(
    pushed: SmallJob,
    kube: Server,  # noqa: F811
) -> None:
    kube.refusals["POST Job"] = (403, 'jobs.batch is forbidden: exceeded quota: "gpus"')
    done: subprocess.CompletedProcess[str] = pushed.uaitrain("submit", "kubernetes")

    assert done.returncode == 10
    assert 'exceeded quota: "gpus"' in done.stderr
    assert "Traceback" not in done.stderr
    assert pushed.uaitrain("runs", "--all").stderr == "no runs\n"
