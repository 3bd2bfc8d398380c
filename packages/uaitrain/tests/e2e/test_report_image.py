"""The report of a local job names the image that the engine has, by its digest."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.engines import RunningDocker
from support.jobs import SmallJob

LENET = Path(__file__).parent.parent / "runs" / "lenet.log"


def test_the_page_has_the_digest_that_docker_has(
    docker_job: SmallJob, docker_engine: RunningDocker
) -> None:
    (docker_job.folder / "uaitrain.toml").write_text(
        'image = "report-me:v1"\nsolver = "/data/solver.prototxt"\n'
        f'[base]\ncpu = "{docker_job.base}"\ngpu = "{docker_job.base}"\n'
    )
    packed = docker_job.uaitrain("pack")
    (docker_job.folder / "output" / "log").mkdir()
    (docker_job.folder / "output" / "log" / "a.log").write_bytes(LENET.read_bytes())
    done = docker_job.uaitrain("report")
    asked = ["docker", "-H", docker_engine.host, "image", "inspect", "-f", "{{.Id}}"]
    digest = subprocess.run(
        [*asked, "report-me-cpu:v1"], capture_output=True, text=True, check=True
    ).stdout.strip()

    assert (packed.returncode, done.returncode) == (0, 0), packed.stderr + done.stderr
    assert digest.startswith("sha256:")
    assert digest in (docker_job.folder / "report-report-me.html").read_text()
