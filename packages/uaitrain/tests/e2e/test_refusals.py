"""What bad input gets: one clear message, the documented exit code, nothing half-made."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.jobs import SmallJob
from support.registry import RunningRegistry
from uaitrain import errors
from uaitrain import registry as registries
from uaitrain.errors import NotFoundError

USAGE, PREFLIGHT, SOURCE, BASE, REGISTRY = (
    kind.exit_code
    for kind in (
        errors.UsageError,
        errors.PreflightError,
        errors.SourceError,
        errors.BaseError,
        errors.RegistryError,
    )
)


WRONG = "hunter2-wrong"


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The run ended with ``code`` and said each of ``words``, without a traceback or a secret."""
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert done.stderr.count("error:") >= 1
    assert "Traceback" not in said
    assert "PRIVATE-KEY-TEXT" not in said
    for word in words:
        assert word in done.stderr, f"{word!r} is not in: {done.stderr}"


def nothing_made(job: SmallJob, server: RunningRegistry | None = None) -> None:
    """Neither the commands file nor a tag is there."""
    assert not job.commands_file.exists()
    if server:
        with pytest.raises(NotFoundError):
            registries.connect(server.host).get_manifest("caffe-demo/caffe-mnist", "uaitrain")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"code_path": "./none/"}, SOURCE, ["none", "is not there", "--code_path"]),
        ({"code_path": "./code/net.prototxt"}, SOURCE, ["is not a folder"]),
        ({"uhub_imagename": "Caffe-Mnist"}, USAGE, ["'Caffe-Mnist'", "lower-case", "caffe-mnist"]),
        ({"uhub_imagename": "a b"}, USAGE, ["'a b'", "lower-case"]),
        ({"uhub_imagetag": "V1"}, USAGE, ["'V1'", "--uhub_imagetag=v1"]),
        ({"uhub_registry": "-x"}, USAGE, ["'-x'"]),
        ({"ai_arch_v": "caffe-2.0.0"}, USAGE, ["caffe-2.0.0", "caffe-1.0.0"]),
        ({"ai_arch_v": "tensorflow-1.4.0"}, USAGE, ["tensorflow-1.4.0", "caffe-1.0.0"]),
        ({"uhub_password": None}, USAGE, ["missing: --uhub_password"]),
        ({"internal_uhub": "yes"}, USAGE, ["true or false"]),
        ({"base_cpu": "nonsense"}, USAGE, ["'nonsense'", "caffe-1.0.0-debian11-cpu"]),
        ({"base_cpu": "oci:/nowhere:x"}, BASE, ["/nowhere"]),
        ({"solver": "/data/missing.prototxt"}, PREFLIGHT, ["missing.prototxt"]),
        ({"mainfile_path": "other.py"}, PREFLIGHT, ["other.py"]),
    ],
)
def test_wrong_parameters(
    job: SmallJob,
    registry: RunningRegistry,
    changes: dict[str, str | None],
    code: int,
    words: list[str],
) -> None:
    refused(job.pack(registry.host, "--no-load", **changes), code, *words)
    nothing_made(job, registry)


def test_an_unknown_flag_is_named(job: SmallJob) -> None:
    refused(job.pack("localhost:1", "--uhub_pasword=x"), USAGE, "--uhub_pasword")


def test_an_unreadable_file_is_named(job: SmallJob, registry: RunningRegistry) -> None:
    (job.code / "secret.bin").write_bytes(b"x")
    (job.code / "secret.bin").chmod(0)
    # Root reads everything, but not without the capabilities that allow it.
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    done = subprocess.run(
        [*words, sys.executable, "caffe_tool.py", "pack", *job.manual_words(registry.host)],
        cwd=job.folder,
        env=job.whole_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    refused(done, SOURCE, "secret.bin", "Permission denied", ".uaitrainignore")
    nothing_made(job, registry)


@pytest.mark.parametrize(
    ("kind", "word"), [("loop", "leads back to itself"), ("escape", "out of the code folder")]
)
def test_bad_links_are_refused(
    job: SmallJob, registry: RunningRegistry, kind: str, word: str
) -> None:
    (job.code / "link").symlink_to("link" if kind == "loop" else "/etc/shadow")
    refused(job.pack(registry.host, "--no-load"), SOURCE, "link", word)
    nothing_made(job, registry)


def test_sockets_and_devices_are_refused(job: SmallJob, registry: RunningRegistry) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(job.code)
        server.bind("sock")
    refused(job.pack(registry.host, "--no-load"), SOURCE, "sock", "is a socket")
    nothing_made(job, registry)


def test_a_wrong_password(job: SmallJob, registry_htpasswd: RunningRegistry) -> None:
    done = job.pack(registry_htpasswd.host, "--no-load", uhub_password=WRONG)

    refused(done, REGISTRY, registry_htpasswd.host, "mnist-user")
    assert WRONG not in done.stdout + done.stderr
    log = (job.folder / "uaitrain.log").read_text()
    assert WRONG not in log
    assert "error:" in log


def test_a_failed_push_loses_neither_the_commands_nor_the_log(
    job: SmallJob, registry_htpasswd: RunningRegistry
) -> None:
    job.pack(registry_htpasswd.host, "--no-load", uhub_password=WRONG)

    assert "CMD Used for deploying:" in job.commands_file.read_text()


def test_a_registry_that_is_down(job: SmallJob, registry: RunningRegistry) -> None:
    registry.stop()
    refused(job.pack(registry.host, "--no-load"), REGISTRY, registry.host, "refused")


def test_a_server_that_is_no_registry(job: SmallJob, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    web = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        web, cwd=tmp_path / "web", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        host = "127.0.0.1:" + process.stdout.readline().split("port ")[1].split()[0]
        done = job.pack(host, "--no-load")
        process.kill()

    refused(done, REGISTRY, host)


def test_a_certificate_of_an_unknown_authority(
    job: SmallJob, registry_tls: RunningRegistry
) -> None:
    refused(job.pack(registry_tls.host, "--no-load"), REGISTRY, "certificate", "--ca-file")
    done = job.pack(registry_tls.host, "--no-load", f"--ca-file={registry_tls.ca_file}")
    assert done.returncode == 0, done.stderr


def test_a_base_that_does_not_exist(job: SmallJob, registry: RunningRegistry) -> None:
    base = f"{registry.host}/no/such:base"
    done = job.pack(registry.host, "--no-load", base_cpu=base, base_gpu=base)
    refused(done, BASE, "no/such:base")
    nothing_made(job, registry)


def test_a_base_whose_bytes_do_not_match_its_digest(
    job: SmallJob, registry: RunningRegistry
) -> None:
    layout = Path(job.base.split(":")[1])
    largest = max((layout / "blobs" / "sha256").iterdir(), key=lambda p: p.stat().st_size)
    raw = bytearray(largest.read_bytes())
    raw[len(raw) // 2] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(raw)
    done = job.pack(registry.host, "--no-load")

    refused(done, errors.StorageError.exit_code, "not what its digest says", "base build")
    with pytest.raises(NotFoundError):
        registries.connect(registry.host).get_manifest("caffe-demo/caffe-mnist", "uaitrain")


def test_an_engine_that_was_asked_for_and_does_not_run(
    job: SmallJob, registry: RunningRegistry
) -> None:
    done = job.pack(registry.host, "--engine=docker")
    refused(done, errors.EngineError.exit_code, "no container engine can be used")
    nothing_made(job, registry)


def test_an_empty_code_folder(job: SmallJob, registry: RunningRegistry) -> None:
    for path in job.code.iterdir():
        path.unlink()
    refused(job.pack(registry.host, "--no-load"), PREFLIGHT, "code")
    nothing_made(job, registry)


def test_no_check_packs_a_job_that_the_preflight_refuses(
    job: SmallJob, registry: RunningRegistry
) -> None:
    done = job.pack(registry.host, "--no-load", "--no-check", solver="/data/missing.prototxt")

    assert done.returncode == 0, done.stderr


def test_pushing_a_job_without_a_registry_is_refused(job: SmallJob) -> None:
    done = job.uaitrain("pack", "--push", "--image=job:v1", "--solver=/data/solver.prototxt")

    refused(done, USAGE, "names no registry")
    nothing_made(job)


def test_errors_under_json_are_json(job: SmallJob) -> None:
    import json

    done = job.uaitrain("pack", "--json", "--image=Bad")

    assert json.loads(done.stdout)["error"]["exit_code"] == done.returncode == USAGE
