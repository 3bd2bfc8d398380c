"""Stopped at any moment, full disks, two at once: afterwards the next pack just works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.jobs import SmallJob
from support.registry import RunningRegistry
from uaitrain import errors
from uaitrain import registry as registries
from uaitrain.errors import NotFoundError
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.registry.pull import pull_image

REPOSITORY = "caffe-demo/caffe-mnist"


def start(job: SmallJob, host: str, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "caffe_tool.py", "pack", *job.manual_words(host), "--no-load", *flags],
        cwd=job.folder,
        env=job.whole_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_tag(host: str) -> bool:
    """Whether the tag is there; if so, what it names must be whole."""
    try:
        client = registries.connect(host)
        pulled = pull_image(client, Reference.parse(f"{host}/{REPOSITORY}:uaitrain"), Platform())
    except NotFoundError:
        return False
    validate(pulled.image, deep=True)
    return True


def leftovers(*folders: Path) -> list[Path]:
    """Temporary files of ours that an ordinary end should have removed."""
    return [
        path
        for folder in folders
        for path in folder.rglob(".*")
        if path.is_file() and (".part" in path.name or path.name.startswith(".uaitrain"))
    ]


@pytest.fixture
def large_job(job: SmallJob) -> SmallJob:
    """A job with 40 MB of noise, so that there is a moment to stop it in."""
    rng = random.Random(7)  # noqa: S311 - the same noise each time
    (job.code / "weights.bin").write_bytes(rng.randbytes(40_000_000))
    return job


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_the_shells_exit_code_and_leaves_nothing(
    large_job: SmallJob, registry: RunningRegistry, number: signal.Signals
) -> None:
    with registry.frozen():
        process = start(large_job, registry.host)
        # The commands are written before the push, which now waits for the registry.
        while not large_job.commands_file.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 128 + number, out + err
    assert "Traceback" not in err
    assert leftovers(large_job.folder, Path(os.environ["UAITRAIN_CACHE"])) == []
    assert not check_tag(registry.host)
    assert large_job.pack(registry.host, "--no-load").returncode == 0
    assert check_tag(registry.host)


def test_killed_at_any_moment_the_next_pack_just_works(
    large_job: SmallJob, registry: RunningRegistry
) -> None:
    rng = random.Random(11)  # noqa: S311 - the same moments each time
    for _ in range(8):
        process = start(large_job, registry.host)
        time.sleep(rng.uniform(0.05, 0.9))
        process.kill()
        process.communicate()
        check_tag(registry.host)
    done = large_job.pack(registry.host, "--no-load")

    assert done.returncode == 0, done.stderr
    assert check_tag(registry.host)


def test_two_packs_of_the_same_folder_at_once_both_work(
    large_job: SmallJob, registry: RunningRegistry
) -> None:
    both = [start(large_job, registry.host) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]

    assert [process.returncode for process in both] == [0, 0], ends
    assert ends[0][0] == ends[1][0] == large_job.commands_file.read_text()
    assert check_tag(registry.host)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of ``size`` on ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_the_cache_costs_time_only(
    job: SmallJob, registry: RunningRegistry, tmp_path: Path
) -> None:
    (job.code / "text.bin").write_bytes(bytes(range(256)) * 40_000)
    (job.code / "noise.bin").write_bytes(os.urandom(8_000_000))
    with small_disk(tmp_path / "full", "1m") as full:
        job.environment["UAITRAIN_CACHE"] = str(full)
        done = job.pack(registry.host, "--no-load")

        assert done.returncode == 0, done.stderr
        assert leftovers(full) == []
    assert check_tag(registry.host)


def test_a_full_disk_under_the_results_is_told_before_the_push(
    job: SmallJob, registry: RunningRegistry, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "full", "64k") as full:
        (full / "filler").write_bytes(bytes(65_536))
        done = job.pack(
            registry.host, "--no-load", cwd=full, tool=str(job.folder / "caffe_tool.py")
        )

        assert done.returncode == errors.StorageError.exit_code, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (full / "uaitrain_cmd.txt").exists()
    assert not check_tag(registry.host)


def test_a_file_that_changes_while_it_is_packed_stops_the_pack(
    large_job: SmallJob, registry: RunningRegistry
) -> None:
    writer = subprocess.Popen(
        ["bash", "-c", "while :; do date +%N >>code/helper.py; done"], cwd=large_job.folder
    )
    try:
        done = large_job.pack(registry.host, "--no-load")
    finally:
        writer.kill()
        writer.wait()

    assert done.returncode == errors.SourceError.exit_code, done.stderr
    assert "changed while it was being packed" in done.stderr
    assert not check_tag(registry.host)
