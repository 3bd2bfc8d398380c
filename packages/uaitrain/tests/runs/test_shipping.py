"""From settings to the job that a backend gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.backends import Job, Mount
from uaitrain.errors import UsageError
from uaitrain.runs.identity import RUN_ID, new_run_id
from uaitrain.runs.run import job_from, job_text
from uaitrain.runs.shipping import Wanted, parse_time, places, plan, resumed
from uaitrain.ship_settings import SHIP_SETTINGS
from uaitrain.spec import CPU, GPU, Framework, Target, TrainSpec

S3 = {"run.data": "s3://bucket/data", "run.output": "s3://bucket/results"}


def _spec(ship: Mapping[str, Any]) -> TrainSpec:
    return TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=Path("/home/me/code"),
        main_file="train.py",
        data=Path("/home/me/data"),
        output=Path("/home/me/output"),
        target=Target("host", "me", "mnist", "uaitrain"),
        solver="/data/solver.prototxt",
        ship={setting.key: setting.default for setting in SHIP_SETTINGS} | dict(ship),
    )


def _plan(
    ship: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    backend: str = "slurm",
    accelerator: str = GPU,
) -> Job:
    wanted = Wanted(backend, accelerator, "mnist-1", "host/me/mnist:uaitrain@sha256:aa")
    return plan(_spec(ship or {}), wanted, environment or {})


def test_a_gpu_run_with_the_folders_of_this_machine() -> None:
    assert _plan() == Job(
        image="host/me/mnist:uaitrain@sha256:aa",
        argv=(
            *("/usr/bin/python", "/data/train.py", "--solver=/data/solver.prototxt"),
            *("--use_cpu=False", "--num_gpus=1"),
            *("--work_dir=/data", "--data_dir=/data/data"),
            *("--output_dir=/data/output", "--log_dir=/data/output/log"),
        ),
        mounts=(
            Mount("/home/me/data", "/data/data"),
            Mount("/home/me/output", "/data/output"),
        ),
        environment={"UAITRAIN_RUN_ID": "mnist-1"},
        gpus=1,
        shm_bytes=1 << 30,
        run_id="mnist-1",
    )


def test_a_cpu_run_asks_for_no_gpu() -> None:
    job = _plan(accelerator=CPU)

    assert job.gpus == 0
    assert "--use_cpu=True" in job.argv


def test_uris_go_to_the_launcher_and_only_names_of_keys_with_them() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "correct-horse", "TOKEN": "x"}
    more = {"run.endpoint": "https://s3.example", "run.sync": 5, "run.keep_last": 3}
    job = _plan({**S3, **more, "run.secrets": ["TOKEN", "TOKEN"]}, keys)

    assert job.mounts == ()
    assert job.environment == {
        "UAITRAIN_RUN_ID": "mnist-1",
        "UAITRAIN_DATA": "s3://bucket/data",
        "UAITRAIN_OUTPUT": "s3://bucket/results",
        "UAITRAIN_SYNC_SECONDS": "5",
        "UAITRAIN_S3_ENDPOINT": "https://s3.example",
        "UAITRAIN_KEEP_LAST": "3",
    }
    assert job.secrets == ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "TOKEN")
    assert "correct-horse" not in job_text(job)


def test_keys_go_nowhere_when_no_place_is_on_s3() -> None:
    assert _plan({}, {"AWS_ACCESS_KEY_ID": "id"}).secrets == ()


def test_a_cluster_that_does_not_see_this_machine_gets_none_of_its_folders() -> None:
    assert places(_spec({}), "kubernetes") == ("", "")
    assert _plan({"run.data": "claim:data/mnist"}, backend="kubernetes").mounts == (
        Mount("claim:data/mnist", "/data/data"),
    )


def test_resources_are_counted_in_bytes_and_seconds() -> None:
    job = _plan({"run.nodes": 2, "run.cpus": 8, "run.memory": "16g", "run.time": "1d12h"})

    assert (job.nodes, job.cpus, job.memory_bytes, job.seconds) == (2, 8, 16 << 30, 129600)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("0", 0), ("90m", 5400), ("12h", 43200), ("2d", 172800), ("1H30M", 5400), ("5s", 5)],
)
def test_times(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["90", "h", "1.5h", "-1h", "0m", "1h 30m", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("ship", "said"),
    [
        ({"run.nodes": 0}, "--nodes 0"),
        ({"run.cpus": -1}, "--cpus -1"),
        ({"run.keep_last": -1}, "--keep-last -1"),
        ({**S3, "run.sync": 0}, "--sync 0"),
        ({"run.memory": "lots"}, "not a size: 'lots'"),
        ({"run.data": "data"}, "run.data = 'data'"),
        ({"run.output": "/a\nb"}, "control characters"),
        ({"run.output": "s3://me:secret@bucket/x"}, "holds a user name or password"),
        ({"run.endpoint": "https://s3.example"}, "is for s3:// places"),
        ({**S3, "run.endpoint": "s3.example"}, "--endpoint 's3.example'"),
        ({**S3, "run.endpoint": "https://me:secret@s3.example"}, "--endpoint holds a login"),
        ({"run.secrets": ["A=secret"]}, "not the name of a variable"),
    ],
)
def test_what_cannot_be_is_refused_and_no_secret_repeated(ship: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        _plan(ship)

    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)


def test_a_run_that_is_started_again_keeps_all_but_its_resources() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id"}
    before = _plan({**S3, "run.cpus": 8, "run.memory": "16g", "run.keep_last": 5}, keys)
    said_now = {"run.memory": "32g", "run.time": "2d", "run.secrets": ["TOKEN"]}
    now = replace(
        _plan(said_now), image="another", argv=("another",), gpus=4, nodes=3, run_id="another"
    )
    job = resumed(before, now)

    assert (job.image, job.argv, job.mounts, job.gpus, job.nodes, job.run_id) == (
        *(before.image, before.argv, before.mounts, before.gpus, 1, "mnist-1"),
    )
    assert job.environment == before.environment
    assert (job.cpus, job.memory_bytes, job.seconds) == (8, 32 << 30, 172800)
    assert job.secrets == ("AWS_ACCESS_KEY_ID", "TOKEN")


def test_a_job_comes_back_from_its_text() -> None:
    job = _plan(S3, {"AWS_ACCESS_KEY_ID": "id"})

    assert job_from(job_text(job)) == job
    assert job_from('{"of_later": 1, ' + job_text(job)[1:]) == job


@given(st.text(max_size=300), st.integers(0, 4102444800))
def test_an_id_is_a_legal_name_everywhere(name: str, when: int) -> None:
    assert RUN_ID.match(new_run_id(name, float(when)))


def test_an_id_tells_what_and_when() -> None:
    assert new_run_id("mnist", 1795547700.0).startswith("mnist-20261124-191500-")
    assert new_run_id("Team/Le_Net.2", 0.0).startswith("le-net-2-19700101-000000-")
    assert new_run_id("7up", 0.0).startswith("run-7up-")
    assert len({new_run_id("mnist", 0.0) for _ in range(20)}) == 20
