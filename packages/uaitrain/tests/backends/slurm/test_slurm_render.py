"""The script for sbatch, compared whole, and what cannot be a script."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.slurm_site import slurm_options
from uaitrain.backends import Job, Mount
from uaitrain.backends.slurm import runtimes
from uaitrain.backends.slurm.oci import config_text
from uaitrain.backends.slurm.options import options_from
from uaitrain.backends.slurm.render import directives, render
from uaitrain.errors import UsageError

GOLDEN = Path(__file__).parent / "golden"
DIGEST = "sha256:" + "ab" * 32
JOB = Job(
    image=f"hub.example.com/team/mnist:v1@{DIGEST}",
    argv=("/usr/bin/python", "/data/train.py", "--solver=/data/it's.prototxt", "--num_gpus=2"),
    mounts=(
        Mount("/shared/mnist", "/data/data", read_only=True),
        Mount("/shared/results", "/data/output"),
    ),
    environment={"PYTHONUNBUFFERED": "1", "UAITRAIN_OUTPUT": "s3://bucket/a b"},
    secrets=("AWS_SECRET_ACCESS_KEY",),
    gpus=2,
    shm_bytes=1 << 30,
    run_id="mnist-20261124-191500-3f2a1c",
    nodes=2,
    cpus=8,
    memory_bytes=16 << 30,
    seconds=43200,
)


def rendered(job: Job = JOB, **given: object) -> str:
    return render(job, options_from(slurm_options(folder="/shared/me", **given))).show()


def check_golden(name: str, text: str) -> None:
    """UAITRAIN_GOLDEN=1 writes the files anew; look at what changed before you commit them."""
    path = GOLDEN / name
    if os.environ.get("UAITRAIN_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_the_whole_request_is_as_kept() -> None:
    text = rendered(
        partition="gpu", account="lab", qos="long", gres="gpu:a100", setup=["module load cuda"],
        options=["--exclude=n7"],
    )  # fmt: skip

    check_golden("two_nodes.txt", text)


def test_the_least_job_is_as_kept() -> None:
    text = rendered(Job(JOB.image, ("true",), run_id="least"), array="4", runtime="runc")

    check_golden("least_sweep.txt", text)


def test_bash_understands_the_script() -> None:
    script = render(JOB, options_from(slurm_options(folder="/shared/me"))).script

    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_what_a_job_does_not_ask_for_is_left_to_the_cluster() -> None:
    lines = list(directives(Job(JOB.image, (), run_id="r"), options()))

    given = {line.partition("=")[0] for line in lines}
    assert given & {"--mem", "--time", "--cpus-per-task", "--gpus-per-node", "--partition"} == set()


def test_sizes_and_times_are_rounded_up() -> None:
    lines = list(directives(replace(JOB, memory_bytes=(1 << 20) + 1, seconds=61), options()))

    assert "--mem=2M" in lines
    assert "--time=2" in lines


def options(**given: object):  # type: ignore[no-untyped-def]
    return options_from(slurm_options(folder="/shared/me", **given))


@pytest.mark.parametrize(
    ("given", "wanted"), [("8", "0-7"), ("1", "0-0"), ("1,3-5", "1,3-5"), ("0-99%4", "0-99%4")]
)
def test_a_sweep_is_a_number_or_a_list(given: str, wanted: str) -> None:
    assert options(array=given).array == wanted


@pytest.mark.parametrize(
    "given",
    [
        {"array": "0"}, {"array": "a"}, {"array": "1;2"}, {"array": "-1"},
        {"folder": ""}, {"folder": "relative"}, {"folder": "/a b"}, {"folder": "/a%j"},
        {"folder": "/a/../b"}, {"folder": "/a:b"},
        {"partition": "a b"}, {"account": "x\ny"}, {"gres": "gpu;rm"},
        {"runtime": "docker"}, {"grace": 0}, {"retries": -1},
        {"options": ["exclude=n7"]}, {"options": ["--export=ALL"]}, {"options": ["--wrap=x"]},
        {"options": ["--exclude=a b"]},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        options_from(slurm_options(**{"folder": "/shared/me"} | given))

    assert caught.value.allowed


@pytest.mark.parametrize(
    "job",
    [
        replace(JOB, image="hub.example.com/team/mnist:v1"),
        replace(JOB, run_id="Upper"),
        replace(JOB, run_id="x" * 53),
        replace(JOB, run_id=""),
        replace(JOB, environment={"A B": "1"}),
        replace(JOB, secrets=("X=1",)),
        replace(JOB, mounts=(Mount("relative", "/data/data"),)),
        replace(JOB, mounts=(Mount("/a:b", "/data/data"),)),
        replace(JOB, mounts=(Mount("s3://bucket/x", "/data/data"),)),
        replace(JOB, mounts=(Mount("/a/../b", "/data/data"),)),
    ],
)
def test_jobs_that_cannot_run_here_are_refused(job: Job) -> None:
    with pytest.raises(UsageError):
        render(job, options())


def test_a_gpu_job_goes_to_runtimes_that_bring_gpus() -> None:
    assert "runc" not in runtimes.names(1)
    assert "runc" in runtimes.names(0)
    with pytest.raises(UsageError, match="GPUs"):
        render(JOB, options(runtime="runc"))


def test_every_runtime_of_the_table_has_its_function_and_every_function_its_row() -> None:
    text = (Path(runtimes.__file__).parent / "run.sh").read_text()

    assert set(re.findall(r"^run_([a-z]+)\(\)", text, re.M)) == {
        each.name for each in runtimes.RUNTIMES
    }


def test_no_value_of_a_secret_is_in_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-1234")
    request = render(JOB, options())

    assert "hush-1234" not in request.show() + json.dumps(request.to_json())


FUNCTIONS = """\
set -u
PATH=$1:/usr/bin:/bin
source "$2"
bundle=/b scratch=/s shm=64 gpus=$4 SLURM_JOB_ID=9 rank=0 oci_config='{"ids": {"@IDS@": 0, "x": 1}}'
binds=(/s/run /run/uaitrain ro /out /data/output rw)
"run_$3" /bin/sh /run/uaitrain/start
"""


@pytest.mark.parametrize("gpus", [0, 1])
@pytest.mark.parametrize("name", ["apptainer", "singularity", "enroot", "podman"])
def test_the_command_lines_of_runtimes_that_are_not_here(
    tmp_path: Path, name: str, gpus: int
) -> None:
    """Apptainer, Singularity and enroot are in no Debian: their words are compared, and come
    from their manuals. A script stands in for each and shows what it was given."""
    program = tmp_path / name
    program.write_text('#!/bin/bash\necho "$(basename "$0") $*"\nenv | grep -E "^(ENROOT|NVIDIA)_"')
    program.chmod(0o755)
    source = Path(runtimes.__file__).parent / "run.sh"
    done = subprocess.run(
        ["bash", "-c", FUNCTIONS, "test", str(tmp_path), str(source), name, str(gpus)],
        capture_output=True, text=True, check=False, env={},
    )  # fmt: skip

    check_golden(f"{name}-{gpus}.txt", done.stdout + done.stderr)


def test_the_config_for_runc_is_open_only_where_the_node_fills_it_in() -> None:
    config = json.loads(config_text("/b/rootfs", JOB.mounts, 4096))
    sources = {mount["destination"]: mount for mount in config["mounts"]}

    assert config["root"] == {"path": "/b/rootfs", "readonly": True}
    assert "size=4096" in sources["/dev/shm"]["options"]  # noqa: S108 in the container
    assert sources["/data/output"]["source"] == "/shared/results@TASK@"
    assert sources["/data/data"]["options"] == ["rbind", "ro"]
    assert set(re.findall("@[A-Z]+@", json.dumps(config))) == {
        "@SCRATCH@", "@TASK@", "@USER@", "@IDS@",
    }  # fmt: skip
