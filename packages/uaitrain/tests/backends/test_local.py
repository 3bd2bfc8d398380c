"""A job as one engine command."""

from __future__ import annotations

from uaitrain.backends import Job, Mount
from uaitrain.backends.local import render

JOB = Job(
    image="mnist-cpu:uaitrain",
    argv=("/bin/bash", "-c", "cd /data && true"),
    mounts=(Mount("/d", "/data/data", read_only=True), Mount("/o", "/data/output")),
)


def test_a_watched_run_has_a_name_and_leaves_nothing() -> None:
    argv = render(JOB, ("docker",), interactive=False, name="uaitrain-1").argv

    assert " ".join(argv) == (
        "docker run --rm --name uaitrain-1 -v /d:/data/data:ro -v /o:/data/output"
        " mnist-cpu:uaitrain /bin/bash -c cd /data && true"
    )


def test_what_the_job_needs_becomes_options() -> None:
    job = Job("i", ("true",), (), {"B": "2", "A": "1"}, shm_bytes=4096, user="1000:100")

    assert " ".join(render(job, ("sudo", "docker"), interactive=True).argv) == (
        "sudo docker run -it --user 1000:100 --shm-size 4096 -e A=1 -e B=2 i true"
    )


def test_a_path_with_a_colon_or_a_comma_is_mounted_whole() -> None:
    job = Job(
        "i", ("true",), (Mount('/a:b,"c"', "/data/data", read_only=True), Mount("/a,b", "/o"))
    )

    assert render(job, ("docker",), interactive=False).argv[2:6] == (
        "--mount",
        'type=bind,"source=/a:b,""c""",target=/data/data,readonly',
        "-v",
        "/a,b:/o",
    )


def test_nvidia_docker_brings_the_gpus_by_itself() -> None:
    job = Job("i", ("true",), (), gpus=2)

    assert "--gpus" not in render(job, ("nvidia-docker",), interactive=False).argv
    assert "--gpus" in render(job, ("docker",), interactive=False).argv
