"""What the doctor says of a Slurm cluster: a real one, one that is down, and none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.slurm_cluster import RunningSlurm, slurm  # noqa: F401 a fixture
from uaitrain.doctor.slurm import check
from uaitrain.doctor.verdict import State, Surroundings, Verdict


def told() -> list[Verdict]:
    return list(check(Surroundings()))


def test_a_cluster_tells_its_version_and_partitions(
    slurm: RunningSlurm,  # noqa: F811 the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    cluster, runtimes = told()

    assert cluster.state is State.PRESENT
    assert re.search(r"slurm\S* [0-9.]+ answers; its partitions: main, second", cluster.what)
    assert "unshare" in runtimes.what


def test_a_cluster_without_a_configuration_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "missing.conf"))
    (verdict,) = told()

    assert (verdict.state, verdict.stops) == (State.NOTE, ())
    assert "submit slurm does not work here: sinfo" in verdict.what


def test_a_machine_without_slurm_is_sent_to_a_login_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    (verdict,) = told()

    assert verdict.state is State.NOTE
    assert "sbatch" in verdict.what
    assert "login node" in verdict.mend
