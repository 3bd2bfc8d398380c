"""What every end-to-end test starts from: a small job, and no engine unless it asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engines import RunningDocker
from support.jobs import SmallJob, base_layout, make_job
from uaitrain.oci.image import Image


@pytest.fixture
def job(tmp_path: Path, tiny: Image) -> SmallJob:
    """A job on a machine without an engine: no program of that name can be found."""
    base = base_layout(tmp_path / "bases", tiny)
    made = make_job(tmp_path / "work", base)
    made.environment["DOCKER_HOST"] = f"unix://{tmp_path}/no-docker.sock"
    made.environment["UAITRAIN_ENGINE"] = "docker"
    return made


@pytest.fixture
def docker_job(job: SmallJob, docker_engine: RunningDocker) -> SmallJob:
    """The same job on a machine with a real Docker engine."""
    job.environment["DOCKER_HOST"] = docker_engine.host
    return job
