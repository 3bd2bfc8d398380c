"""The printed commands: the manual's text, and words that arrive unchanged."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uaitrain import commands
from uaitrain.engines.facts import LocalFacts
from uaitrain.spec import CPU, GPU, Framework, Resources, Target, TrainSpec

MANUAL = """\
CMD Used for deploying:
 /data/train.py --solver=/data/data/lenet_solver.prototxt
CMD for CPU local test:
sudo docker run -it -v /data/test/data:/data/data -v /data/test/output:/data/output \
caffe-mnist-cpu:uaitrain /bin/bash -c "cd /data && /usr/bin/python /data/train.py \
--solver=/data/data/lenet_solver.prototxt --use_cpu=True --work_dir=/data --data_dir=/data/data \
--output_dir=/data/output --log_dir=/data/output/log"
CMD for GPU local test:
sudo nvidia-docker run -it -v /data/test/data:/data/data -v /data/test/output:/data/output \
uhub.service.ucloud.cn/caffe-demo/caffe-mnist:uaitrain /bin/bash -c "cd /data && \
/usr/bin/python /data/train.py --solver=/data/data/lenet_solver.prototxt --use_cpu=False \
--num_gpus=1 --work_dir=/data --data_dir=/data/data --output_dir=/data/output \
--log_dir=/data/output/log"
"""


def spec(
    data: str = "/data/test/data", solver: str = "/data/data/lenet_solver.prototxt"
) -> TrainSpec:
    return TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=Path("/home/me/mnist/code"),
        main_file="train.py",
        data=Path(data),
        output=Path("/data/test/output"),
        target=Target("uhub.service.ucloud.cn", "caffe-demo", "caffe-mnist", "uaitrain"),
        solver=solver,
    )


def test_the_text_is_the_manuals_where_sudo_and_nvidia_docker_are_needed() -> None:
    facts = LocalFacts(needs_sudo=True, has_nvidia_docker=True)

    assert commands.text(commands.render_commands(spec(), facts)) == MANUAL


def test_without_nvidia_docker_the_gpus_come_by_docker_itself() -> None:
    gpu = commands.render_commands(spec(), LocalFacts()).gpu

    assert gpu.argv[:6] == ("docker", "run", "-it", "--gpus", "all", "-v")


def test_podman_is_never_called_through_nvidia_docker() -> None:
    gpu = commands.render_commands(spec(), LocalFacts("podman", has_nvidia_docker=True)).gpu

    assert gpu.argv[:5] == ("podman", "run", "-it", "--device", "nvidia.com/gpu=all")


def test_a_normal_user_owns_the_results() -> None:
    cpu = commands.render_commands(spec(), LocalFacts(uid=1000, gid=100)).cpu

    assert cpu.argv[:6] == ("docker", "run", "-it", "--user", "1000:100", "-v")


def test_a_rootless_engine_needs_no_user() -> None:
    cpu = commands.render_commands(spec(), LocalFacts("podman", uid=1000, rootless=True)).cpu

    assert "--user" not in cpu.argv


def test_only_a_chosen_size_of_shared_memory_is_printed() -> None:
    chosen = replace(spec(), resources=Resources(shm_bytes=1 << 31))
    default = commands.render_commands(spec(), LocalFacts()).cpu
    cpu = commands.render_commands(chosen, LocalFacts()).cpu

    assert "--shm-size" not in default.argv
    assert ("--shm-size", str(1 << 31)) == cpu.argv[3:5]


def test_the_job_that_we_run_always_has_shared_memory() -> None:
    assert commands.local_job(spec(), CPU, "i").shm_bytes == 1 << 30


@pytest.mark.parametrize(("accelerator", "gpus"), [(CPU, 0), (GPU, 1)])
def test_a_job_asks_for_gpus_only_on_a_gpu(accelerator: str, gpus: int) -> None:
    assert gpus == commands.local_job(spec(), accelerator, "i").gpus


def _words_of(text: str, workdir: Path) -> list[bytes]:
    """What a real bash makes of a pasted command: its words, told by the program it starts."""
    program = workdir / "docker"
    if not program.exists():
        program.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
        program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", text.encode("utf-8", "surrogateescape")],
        env={"PATH": f"{workdir}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    return done.stdout.split(b"\0")[:-1]


paths = st.text(
    st.one_of(
        st.sampled_from(" '\"$`\\!\n\t;&|<>(){}[]*?~#%=:,-训练é\u2028\udc80"),
        st.characters(codec="utf-8", exclude_characters="\0"),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(name=paths, solver=paths)
def test_every_path_arrives_unchanged_through_a_real_bash(
    tmp_path_factory: pytest.TempPathFactory, name: str, solver: str
) -> None:
    workdir = tmp_path_factory.getbasetemp()
    job = spec("/data/" + name.replace("/", "_"), solver)
    cpu = commands.render_commands(job, LocalFacts()).cpu
    words = _words_of(cpu.text, workdir)

    assert [os.fsencode(word) for word in cpu.argv[1:]] == words
    inner = words[-1].decode("utf-8", "surrogateescape")
    inner = inner.replace("cd /data && /usr/bin/python", "docker", 1)
    python_words = _words_of(inner, workdir)
    assert os.fsencode(f"--solver={solver}") == python_words[1]
    assert len(cpu.text.splitlines()) == 1


def test_quotes_are_used_only_where_needed() -> None:
    assert commands.quote("/data/train.py") == "/data/train.py"
    assert commands.quote("a b") == "'a b'"
    assert commands.quote("a\nb'c") == "$'a\\012b\\'c'"


def test_a_line_with_an_exclamation_mark_is_safe_from_history_expansion() -> None:
    assert commands.quote_line("echo hi!") == "'echo hi!'"
