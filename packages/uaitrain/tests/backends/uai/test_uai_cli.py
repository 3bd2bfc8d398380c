"""From pack to a cancelled run, as its user types it; the platform is the stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.jobs import SmallJob, base_layout, make_job
from support.registry import RunningRegistry
from support.uai_server import PRIVATE_KEY, PUBLIC_KEY, Platform
from uai_jobs import DATA, OUTPUT
from uaitrain import commands
from uaitrain.oci.image import Image


@pytest.fixture
def packed(tmp_path: Path, tiny: Image, registry: RunningRegistry, platform: Platform) -> SmallJob:
    """A job that is packed and pushed, with the platform's settings in its uaitrain.toml."""
    base = base_layout(tmp_path / "bases", tiny)
    job = make_job(tmp_path / "work", base)
    job.environment |= {
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
        "UAITRAIN_ENGINE": "docker",
        "UAITRAIN_STATE": str(tmp_path / "state"),
    }
    (job.folder / "uaitrain.toml").write_text(
        f"""\
image = "{registry.host}/demo/small:v1"
solver = "/data/solver.prototxt"
arguments = ["--note=two words"]

[base]
cpu = "{base}"
gpu = "{base}"

[run]
time = "24h"

[uai]
url = "{platform.url}"
data = "{DATA}"
output = "{OUTPUT}"
"""
    )
    done = job.uaitrain("pack", "--push")
    assert done.returncode == 0, done.stderr
    return job


def ok(job: SmallJob, *words: str) -> str:
    done = job.uaitrain(*words)
    assert done.returncode == 0, done.stderr
    assert PRIVATE_KEY not in done.stdout + done.stderr
    return done.stdout


def test_a_run_is_sent_watched_and_cancelled(
    packed: SmallJob, platform: Platform, registry: RunningRegistry, tmp_path: Path
) -> None:
    lines = (packed.folder / "uaitrain_cmd.txt").read_text().splitlines()
    deploy = lines[lines.index(commands.DEPLOY_HEADING) + 1].removeprefix(" ")
    shown = ok(packed, "submit", "uai", "--dry-run")
    platform.life = ["ToDo", "Doing"]
    before = len(platform.calls)
    run_id = ok(packed, "submit", "uai").strip()
    (made,) = platform.jobs
    made.logs["topic-1"] = [["I1124 19:00:00.000000 7 solver.cpp:289] Solving small"]]

    assert before == 0
    assert f"DockerCmd = {deploy}\n" in shown
    assert made.parameters["DockerCmd"] == deploy
    assert made.parameters["TrainJobName"] == run_id
    assert made.parameters["CodeUhubPath"] == f"{registry.host}/demo/small:v1"
    assert made.parameters["MaxExecuteTime"] == "24"
    told = json.loads(ok(packed, "show", run_id, "--json"))
    assert (told["state"], told["info"]) == ("running", {"seconds": "3725", "price": "12.34"})
    assert "price     12.34" in ok(packed, "show", run_id)
    assert "Solving small" in ok(packed, "logs", run_id)
    assert run_id in ok(packed, "runs")
    ok(packed, "cancel", run_id)

    assert made.word == "Stopped"
    assert platform.refused == []
    assert json.loads(ok(packed, "show", run_id, "--json"))["state"] == "cancelled"
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PRIVATE_KEY.encode() not in path.read_bytes(), path


def test_without_keys_nothing_is_sent_and_one_message_says_where_they_go(
    packed: SmallJob, platform: Platform
) -> None:
    packed.environment |= {"UCLOUD_PUBLIC_KEY": "", "UCLOUD_PRIVATE_KEY": ""}
    done = packed.uaitrain("submit", "uai")

    assert done.returncode == 6
    assert "UCLOUD_PUBLIC_KEY and UCLOUD_PRIVATE_KEY" in done.stderr
    assert PUBLIC_KEY not in done.stderr
    assert platform.calls == []
    del packed.environment["UCLOUD_PUBLIC_KEY"], packed.environment["UCLOUD_PRIVATE_KEY"]

    assert " failed " in ok(packed, "runs", "--all")
    assert platform.jobs == []
