"""Wheels of a real index in real packs: each base's own Python, the lock, and digests that lie.

The bases are tiny: nothing of them runs, and their labels name a Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from package_index import Index, running_index, wheel
from support.jobs import SmallJob, make_job
from uaitrain.bases import labels
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout

LOCK = "uaitrain.packages.lock"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with running_index(monkeypatch) as running:
        running.add(wheel("plain", "py3-none-any", script="plain = plain:main"))
        yield running


@dataclass
class PackedJob:
    """A job whose bases have the Pythons 3.9 and 3.11; its cache is its own, and empty at first."""

    job: SmallJob
    bases: Path

    def pack(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.job.uaitrain(
            *("pack", "--image=job:1", "--solver=/data/solver.prototxt", "--no-check", "--json"),
            *(f"--base-cpu=oci:{self.bases}:cpu", f"--base-gpu=oci:{self.bases}:gpu"),
            *("--layout=images", *words),
        )

    def packages(self, *words: str) -> dict[str, str]:
        """The digest of the layer of Python packages by accelerator."""
        done = self.pack(*words)
        assert done.returncode == 0, done.stderr
        return {
            name: layer["digest"]
            for name, image in json.loads(done.stdout)["images"].items()
            for layer in image["layers"]
            if layer["name"] == "Python packages"
        }

    def files(self, digest: str) -> dict[str, bytes]:
        blob = self.job.folder / "images" / "blobs" / digest.replace(":", "/")
        with tarfile.open(blob) as tar:
            return {m.name: t.read() for m in tar if (t := tar.extractfile(m)) is not None}

    @property
    def lock(self) -> Path:
        return self.job.folder / LOCK

    @property
    def is_packed(self) -> bool:
        return (self.job.folder / "images").exists()


@pytest.fixture
def bases(tmp_path: Path, tiny: Image) -> Path:
    for accelerator, python in (("cpu", "3.9.2"), ("gpu", "3.11.2")):
        labelled = {labels.PYTHON: python, labels.ACCELERATOR: accelerator}
        Layout(tmp_path / "bases").put(tiny.configure(labels=labelled), accelerator)
    return tmp_path / "bases"


def _job(folder: Path, bases: Path, lock: str = "") -> PackedJob:
    made = PackedJob(make_job(folder, ""), bases)
    made.job.environment["UAITRAIN_CACHE"] = str(folder / "cache")
    if lock:
        made.lock.write_text(lock)
    return made


def test_each_base_gets_what_fits_its_own_python(tmp_path: Path, bases: Path, index: Index) -> None:
    needs = ["older; python_version < '3.10'", "newer; python_version >= '3.10'"]
    for tag in ("cp39-cp39", "cp311-cp311"):
        platform = f"{tag}-manylinux2014_x86_64"
        index.add(wheel("forked", platform, f"FOR = {tag!r}\n", needs))
    index.add(wheel("older", "py3-none-any"), wheel("newer", "py3-none-any"))
    job = _job(tmp_path / "job", bases)

    made = {name: job.files(digest) for name, digest in job.packages("--pip=forked").items()}

    old, new = "usr/local/lib/python3.9/dist-packages", "usr/local/lib/python3.11/dist-packages"
    assert made["cpu"][f"{old}/forked.py"] == b"FOR = 'cp39-cp39'\n"
    assert made["gpu"][f"{new}/forked.py"] == b"FOR = 'cp311-cp311'\n"
    assert {name.split("/")[-1] for name in made["cpu"] if name.endswith(".py")} == {
        *("forked.py", "older.py")
    }
    assert {name.split("/")[-1] for name in made["gpu"] if name.endswith(".py")} == {
        *("forked.py", "newer.py")
    }
    assert job.lock.read_text().count("[[python]]") == 2


def test_the_same_lock_gives_the_same_layers_to_an_empty_cache(
    tmp_path: Path, bases: Path, index: Index
) -> None:
    first = _job(tmp_path / "first", bases)
    made = first.packages("--pip=plain")
    other = _job(tmp_path / "elsewhere" / "other", bases, first.lock.read_text())
    # What the index has got since then was not asked for.
    index.add(("plain-2.0-py3-none-any.whl", wheel("plain", "py3-none-any")[1]))
    before = os.umask(0o077)
    try:
        again = other.packages("--pip=plain")
    finally:
        os.umask(before)

    assert again == made
    assert len(made) == 2
    assert other.lock.read_text() == first.lock.read_text()
    program = first.files(made["cpu"])["usr/local/bin/plain"]
    assert program.startswith(b"#!/usr/bin/python3.9\n")


def _refused(job: PackedJob, *words: str) -> str:
    done = job.pack(*words)
    assert done.returncode not in (0, 1), done.stdout
    assert "Traceback" not in done.stderr
    assert not job.is_packed
    return done.stderr


def test_a_digest_that_the_index_does_not_have_is_refused(
    tmp_path: Path, bases: Path, index: Index
) -> None:
    job = _job(tmp_path / "job", bases)
    listed = job.job.folder / "requirements.txt"
    listed.write_text(f"plain==1.0 --hash=sha256:{'0' * 64}\n")
    said = _refused(job, "--requirements=requirements.txt")
    listed.write_text(f"plain==1.0 --hash=sha256:{index.digest('plain-1.0-py3-none-any.whl')}\n")

    assert "plain 1.0 has none of the digests that the requirements file names" in said
    assert "correct its --hash" in said
    assert len(job.packages("--requirements=requirements.txt")) == 2


def _other_file(index: Index) -> str:
    return (
        "error: plain==1.0: the file that pip finds is not the one that was chosen: its SHA-256 is "
        + index.digest("plain-1.0-py3-none-any.whl")
    )


@pytest.mark.parametrize("changed", ["the index's file", "the lock's digest"])
def test_a_file_that_is_not_the_locks_is_refused(
    tmp_path: Path, bases: Path, index: Index, changed: str
) -> None:
    first = _job(tmp_path / "first", bases)
    first.packages("--pip=plain")
    lock = first.lock.read_text()
    if changed == "the lock's digest":
        lock = lock.replace(index.digest("plain-1.0-py3-none-any.whl"), "0" * 64)
    else:
        index.add(wheel("plain", "py3-none-any", "import os\n"))
    other = _job(tmp_path / "other", bases, lock)

    said = _refused(other, "--pip=plain")

    assert _other_file(index) in said
    assert other.lock.read_text() == lock


def test_an_index_whose_page_and_file_disagree_is_refused_and_nothing_is_locked(
    tmp_path: Path, bases: Path, index: Index
) -> None:
    index.said["plain-1.0-py3-none-any.whl"] = "0" * 64
    job = _job(tmp_path / "job", bases)

    said = _refused(job, "--pip=plain")

    assert _other_file(index) in said
    assert not job.lock.exists()


@pytest.mark.parametrize("what", ["apt=tree", "sdist=plain"])
def test_without_an_engine_what_needs_one_is_refused(
    tmp_path: Path, bases: Path, index: Index, what: str
) -> None:
    job = _job(tmp_path / "job", bases)
    job.job.environment |= {
        "UAITRAIN_ENGINE": "docker",
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
    }

    said = _refused(job, f"--{what}")

    key = what.partition("=")[0]
    assert f"packages.{key}" in said
    assert "no container engine can be used" in said
    assert "sudo systemctl start docker" in said
    assert not job.lock.exists()
