"""The manual's path: caffe_tool.py beside code/, two images, one pushed, one file of commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.engines import RunningDocker
from support.jobs import SmallJob
from support.registry import RunningRegistry
from uaitrain import registry as registries
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.registry.credentials import Credentials
from uaitrain.registry.pull import pull_image
from uaitrain.secret import Secret

HEADINGS = ["CMD Used for deploying:", "CMD for CPU local test:", "CMD for GPU local test:"]


def docker(running: RunningDocker, *words: str) -> str:
    return running.engine.answer(*words)


def test_the_manuals_command_leaves_what_the_manual_promises(
    docker_job: SmallJob, docker_engine: RunningDocker, registry_htpasswd: RunningRegistry
) -> None:
    done = docker_job.pack(registry_htpasswd.host, uhub_password=registry_htpasswd.password)
    lines = done.stdout.splitlines()
    folder = docker_job.folder

    assert done.returncode == 0, done.stderr
    assert lines[::2] == HEADINGS
    assert lines[1] == " /data/train.py --solver=/data/solver.prototxt"
    assert lines[3] == (
        f"docker run -it -v {folder}/data:/data/data -v {folder}/output:/data/output "
        'caffe-mnist-cpu:uaitrain /bin/bash -c "cd /data && /usr/bin/python /data/train.py '
        "--solver=/data/solver.prototxt --use_cpu=True --work_dir=/data --data_dir=/data/data "
        '--output_dir=/data/output --log_dir=/data/output/log"'
    )
    assert "--use_cpu=False --num_gpus=1 --work_dir=/data" in lines[5]
    assert f" {registry_htpasswd.host}/caffe-demo/caffe-mnist:uaitrain /bin/bash" in lines[5]
    assert docker_job.commands_file.read_text() == done.stdout
    images = docker(docker_engine, "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert "caffe-mnist-cpu:uaitrain" in images
    assert f"{registry_htpasswd.host}/caffe-demo/caffe-mnist:uaitrain" in images


def test_what_was_pushed_is_accepted_by_other_tools(
    docker_job: SmallJob,
    docker_engine: RunningDocker,
    registry_htpasswd: RunningRegistry,
    tmp_path: Path,
) -> None:
    server = registry_htpasswd
    done = docker_job.pack(server.host, uhub_password=server.password)
    assert done.returncode == 0, done.stderr
    name = f"{server.host}/caffe-demo/caffe-mnist:uaitrain"
    config = tmp_path / "docker-config"
    subprocess.run(
        ["docker", "login", "-u", server.username, "--password-stdin", server.host],
        env=os.environ | {"DOCKER_CONFIG": str(config), "DOCKER_HOST": docker_engine.host},
        input=server.password.encode(),
        capture_output=True,
        check=True,
    )
    inspected = subprocess.run(
        [
            *("skopeo", "inspect", "--tls-verify=false"),
            *("--authfile", str(config / "config.json"), f"docker://{name}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    docker(docker_engine, "rmi", "--force", name, "caffe-mnist-cpu:uaitrain")
    pulled = subprocess.run(
        ["docker", "pull", name],
        env=os.environ | {"DOCKER_CONFIG": str(config), "DOCKER_HOST": docker_engine.host},
        capture_output=True,
        text=True,
        check=False,
    )
    subprocess.run(
        [
            *("skopeo", "copy", "-q", "--src-tls-verify=false"),
            *("--authfile", str(config / "config.json")),
            *(f"docker://{name}", f"oci:{tmp_path}/copied:v"),
        ],
        check=True,
    )
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/copied:v", str(tmp_path / "b")],
        capture_output=True,
        check=True,
    )
    listed = docker(docker_engine, "run", "--rm", "--entrypoint=/bin/ls", name, "/data").split()

    assert json.loads(inspected.stdout)["Architecture"] == "amd64"
    assert pulled.returncode == 0, pulled.stderr
    assert {"train.py", "solver.prototxt", "net.prototxt", "helper.py"} <= set(listed)
    assert (tmp_path / "b" / "rootfs" / "data" / "helper.py").read_text() == "RATE = 0.01\n"


def test_both_images_share_the_digests_of_the_code_layers(
    job: SmallJob, registry: RunningRegistry
) -> None:
    done = job.pack(registry.host, "--json", "--no-load")
    told = json.loads(done.stdout)
    cpu, gpu = (
        [
            layer["digest"]
            for layer in told["images"][accelerator]["layers"]
            if layer["state"] != "base"
        ]
        for accelerator in ("cpu", "gpu")
    )

    assert cpu == gpu
    layers = told["images"]["gpu"]["layers"]
    assert [layer["name"] for layer in layers] == ["base", "launcher", "stock train.py", "code"]
    assert {layer["push"] for layer in layers} == {"uploaded"}
    assert told["commands"]["deploy"] == ["/data/train.py", "--solver=/data/solver.prototxt"]
    assert told["commands"]["cpu"][:3] == ["docker", "run", "-it"]
    assert set(told["seconds"]) >= {"layers", "push", "preflight"}


def test_the_pushed_image_says_what_it_is(job: SmallJob, registry: RunningRegistry) -> None:
    done = job.pack(registry.host, "--no-load")
    assert done.returncode == 0, done.stderr
    reference = Reference.parse(f"{registry.host}/caffe-demo/caffe-mnist:uaitrain")
    image = pull_image(registries.connect(registry.host), reference, Platform()).image
    run = json.loads(image.labels["dev.uaitrain.run"])

    validate(image, deep=True)
    # Its name in the layout, and no path of this machine.
    assert image.labels["org.opencontainers.image.base.name"] == "oci:" + job.base.split(":")[2]
    assert image.labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert image.config["config"]["WorkingDir"] == "/data"
    assert run["deploy"] == ["/data/train.py", "--solver=/data/solver.prototxt"]
    assert run["cpu"][:2] == ["/usr/bin/python", "/data/train.py"]
    assert run["mounts"] == {"data": "/data/data", "output": "/data/output"}
    assert str(job.folder) not in image.raw_config.decode().replace(job.base, "")


def test_nothing_of_ours_that_lies_beside_the_code_gets_into_the_image(
    job: SmallJob, registry: RunningRegistry
) -> None:
    (job.code / "uaitrain_cmd.txt").write_text("old")
    (job.code / ".env").write_text("KEY=1")
    done = job.pack(registry.host, "--no-load", code_path="./code")
    reference = Reference.parse(f"{registry.host}/caffe-demo/caffe-mnist:uaitrain")
    image = pull_image(registries.connect(registry.host), reference, Platform()).image

    assert done.returncode == 0, done.stderr
    for layer in image.layers[1:]:
        with layer.open() as blob:
            raw = subprocess.run(
                ["tar", "tzf", "-"], input=blob.read(), capture_output=True, check=True
            ).stdout.decode()
        assert not re.search(r"uaitrain_cmd|\.env|uaitrain\.log", raw)


@pytest.mark.parametrize("place", ["elsewhere", "by absolute path from the folder"])
def test_the_tool_can_be_called_by_absolute_path(
    job: SmallJob, registry: RunningRegistry, tmp_path: Path, place: str
) -> None:
    cwd = tmp_path / "else" if place == "elsewhere" else job.folder
    cwd.mkdir(exist_ok=True)
    done = job.pack(registry.host, "--no-load", cwd=cwd, tool=str(job.folder / "caffe_tool.py"))

    assert done.returncode == 0, done.stderr
    assert (cwd / "uaitrain_cmd.txt").read_text() == done.stdout


def test_the_tool_works_under_sudo(job: SmallJob, registry: RunningRegistry) -> None:
    words = job.manual_words(registry.host)
    keep = [f"{k}={v}" for k, v in job.whole_environment().items() if k.startswith("UAITRAIN")]
    done = subprocess.run(
        ["sudo", "-n", *keep, sys.executable, "caffe_tool.py", "pack", *words, "--no-load"],
        cwd=job.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[::2] == HEADINGS


def test_an_unchanged_job_sends_nothing_and_an_edit_sends_one_layer(
    job: SmallJob, registry: RunningRegistry
) -> None:
    (job.code / "train.py").write_text("import helper\n")
    outcomes = []
    for text in ("RATE = 0.01\n", None, "RATE = 0.02\n"):
        if text:
            (job.code / "helper.py").write_text(text)
        done = job.pack(registry.host, "--json", "--no-load")
        assert done.returncode == 0, done.stderr
        (place,) = (p for p in json.loads(done.stdout)["places"] if p["image"] == "gpu")
        outcomes.append((place["new"], place["reused"]))

    assert outcomes == [(3, 0), (0, 3), (1, 2)]


def test_a_base_in_the_target_registry_is_mounted_and_not_sent(
    job: SmallJob, registry: RunningRegistry
) -> None:
    first = job.pack(registry.host, "--no-load", uhub_registry="bases", uhub_imagename="tiny")
    assert first.returncode == 0, first.stderr
    base = f"{registry.host}/bases/tiny:uaitrain"
    done = job.pack(registry.host, "--json", "--no-load", base_cpu=base, base_gpu=base)
    told = json.loads(done.stdout)
    (push,) = (p for p in told["places"] if p["image"] == "gpu")

    assert done.returncode == 0, done.stderr
    assert push["mounted"] >= 1
    assert push["sent_bytes"] < 500_000


def test_credentials_are_found_in_dockers_configuration(
    job: SmallJob, registry_htpasswd: RunningRegistry, tmp_path: Path
) -> None:
    server = registry_htpasswd
    subprocess.run(
        [
            *("skopeo", "login", "--tls-verify=false"),
            *("--authfile", str(tmp_path / "config.json")),
            *("-u", server.username, "--password-stdin", server.host),
        ],
        input=server.password.encode(),
        capture_output=True,
        check=True,
    )
    job.environment["DOCKER_CONFIG"] = str(tmp_path)
    toml = f'image = "{server.host}/caffe-demo/job:v1"\nsolver = "/data/solver.prototxt"\n'
    toml += f'[base]\ncpu = "{job.base}"\ngpu = "{job.base}"\n'
    (job.folder / "uaitrain.toml").write_text(toml)
    done = job.uaitrain("pack", "--push", "--no-load")
    credentials = Credentials(server.username, Secret(server.password))
    client = registries.connect(server.host, credentials=credentials)

    assert done.returncode == 0, done.stderr
    assert client.head_manifest("caffe-demo/job", "v1")


def test_the_password_may_come_through_standard_input_or_the_environment(
    job: SmallJob, registry_htpasswd: RunningRegistry
) -> None:
    server = registry_htpasswd
    words = job.manual_words(server.host, uhub_password=None)
    piped = job.python(
        "caffe_tool.py", "pack", *words, "--no-load", "--password-stdin", text=server.password
    )
    job.environment["UAITRAIN_REGISTRY_PASSWORD"] = server.password
    inherited = job.python("caffe_tool.py", "pack", *words, "--no-load")

    assert piped.returncode == 0, piped.stderr
    assert inherited.returncode == 0, inherited.stderr
    assert "visible" not in piped.stderr + inherited.stderr


def test_without_an_engine_the_cpu_image_goes_to_a_layout_and_the_push_works(
    job: SmallJob, registry: RunningRegistry
) -> None:
    done = job.pack(registry.host)

    assert done.returncode == 0, done.stderr
    assert "no container engine" in done.stderr
    assert "uaitrain_images" in done.stderr
    subprocess.run(
        ["skopeo", "inspect", f"oci:{job.folder}/uaitrain_images:caffe-mnist-cpu:uaitrain"],
        capture_output=True,
        check=True,
    )


def test_the_results_folder_is_made_for_the_person_who_packs(
    docker_job: SmallJob, registry: RunningRegistry
) -> None:
    docker_job.environment |= {"SUDO_UID": "1234", "SUDO_GID": "1234"}
    done = docker_job.pack(
        registry.host, test_output_path=str(docker_job.folder / "new" / "output")
    )
    status = (docker_job.folder / "new" / "output").stat()

    assert done.returncode == 0, done.stderr
    assert (status.st_uid, status.st_gid) == (1234, 1234)
    assert "--user 1234:1234" in docker_job.commands_file.read_text()


def test_archives_are_written_for_machines_that_have_the_engine(
    job: SmallJob, docker_engine: RunningDocker, registry: RunningRegistry
) -> None:
    done = job.pack(registry.host, "--archive=tars")
    assert done.returncode == 0, done.stderr
    for accelerator in ("cpu", "gpu"):
        archive = job.folder / "tars" / f"caffe-mnist-{accelerator}.tar"
        docker(docker_engine, "load", "--quiet", "--input", str(archive))
    shown = docker(
        docker_engine, "run", "--rm", "--entrypoint=/bin/ls", "caffe-mnist-cpu:uaitrain", "/data"
    )

    assert "solver.prototxt" in shown.split()
    assert "no container engine" not in done.stderr


def test_both_faces_make_the_same_image(job: SmallJob, registry: RunningRegistry) -> None:
    manual = job.pack(registry.host, "--json", "--no-load")
    modern = job.uaitrain(
        *("pack", "--push", "--no-load", "--json", "--solver=/data/solver.prototxt"),
        *(f"--image={registry.host}/caffe-demo/caffe-mnist:uaitrain",),
        *(f"--base-cpu={job.base}", f"--base-gpu={job.base}"),
    )

    assert manual.returncode == modern.returncode == 0, modern.stderr
    digests = [
        {name: image["digest"] for name, image in json.loads(done.stdout)["images"].items()}
        for done in (manual, modern)
    ]
    assert digests[0] == digests[1]
