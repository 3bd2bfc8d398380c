"""Whatever happens to the cache, a pack ends with the right image or with none.

Whole packs in processes of their own, on real file systems. Each is compared with a pack that
has a new cache: the digests of both images.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.jobs import SmallJob, base_layout, make_job
from support.mounts import read_only, small_disk
from support.registry import RunningRegistry
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.registry import connect
from uaitrain.registry.pull import pull_image

WORDS = ("pack", "--image", "job:1", "--solver", "/data/solver.prototxt", "--no-load", "--json")
PACKS = 8


@pytest.fixture
def job(tmp_path: Path, tiny: Image) -> SmallJob:
    """Some layers of code of different sizes; a cache of its own in ``cache/``."""
    job = make_job(tmp_path / "work", base_layout(tmp_path / "base", tiny))
    source = random.Random(5)  # noqa: S311 - test data
    for number in range(40):
        text = bytes(source.choices(b"abcdef (=)\n", k=300_000))
        (job.code / f"part_{number:02}.py").write_bytes(b'"""\n' + text + b'"""\n')
    (job.code / "dense.bin").write_bytes(source.randbytes(17 << 20))
    job.environment["UAITRAIN_CACHE"] = str(tmp_path / "cache")
    time.sleep(0.06)  # the files are older than a tick of the clock
    return job


def words(job: SmallJob, layout: Path) -> list[str]:
    bases = ("--base-cpu", job.base, "--base-gpu", job.base)
    return [*WORDS, *bases, "--layout", str(layout)]


def digests(text: str) -> Mapping[str, str]:
    return {name: image["digest"] for name, image in json.loads(text)["images"].items()}


def pack(job: SmallJob, layout: str = "images") -> Mapping[str, str]:
    """The digests of both images; what the layout holds was read and hashed."""
    folder = job.folder.parent / layout
    shutil.rmtree(folder, ignore_errors=True)
    done = job.uaitrain(*words(job, folder))
    assert done.returncode == 0, done.stderr
    check(folder)
    return digests(done.stdout)


def check(folder: Path) -> None:
    layout = Layout(folder)
    for name in layout.names():
        validate(layout.image(name), deep=True)


def with_new_cache(job: SmallJob) -> Mapping[str, str]:
    kept = job.environment["UAITRAIN_CACHE"]
    job.environment["UAITRAIN_CACHE"] = str(job.folder.parent / "new cache")
    try:
        return pack(job, "expected")
    finally:
        shutil.rmtree(job.environment["UAITRAIN_CACHE"])
        job.environment["UAITRAIN_CACHE"] = kept


def cache_of(job: SmallJob) -> Path:
    return Path(job.environment["UAITRAIN_CACHE"])


def files_of(job: SmallJob) -> list[Path]:
    return sorted(path for path in cache_of(job).rglob("*") if path.is_file())


def left_over(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def flip(data: bytes) -> bytes:
    """One bit in the middle."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES = {
    "a bit": flip,
    "the end": lambda data: data[:-1],
    "all": lambda data: b"",
    "noise": lambda data: bytes(reversed(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_of_the_cache_may_be_damaged(damage: str, job: SmallJob) -> None:
    expected = pack(job)
    assert len(files_of(job)) > 6
    for path in files_of(job):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))

    assert pack(job) == expected
    assert pack(job) == expected == with_new_cache(job)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_pushed_from_a_damaged_cache_is_right(
    damage: str, job: SmallJob, registry: RunningRegistry
) -> None:
    """To the same repository, where the whole command is remembered, and to a new one, which
    gets its blobs from the cache."""
    first = push(job, f"{registry.host}/team/{damage.replace(' ', '-')}:1")
    for path in files_of(job):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    again = push(job, f"{registry.host}/team/{damage.replace(' ', '-')}:1")
    for path in files_of(job):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    other = push(job, f"{registry.host}/other/{damage.replace(' ', '-')}:1")

    # What an image says of itself names its repository: the layers are compared.
    assert first.digest == again.digest
    assert first.diff_ids == other.diff_ids
    assert [layer.descriptor for layer in first.layers] == [x.descriptor for x in other.layers]


def push(job: SmallJob, target: str) -> Image:
    """The image that the registry has afterwards, each of its blobs read and hashed."""
    bases = ("--base-cpu", job.base, "--base-gpu", job.base)
    named = ("--image", target, "--solver", "/data/solver.prototxt")
    done = job.uaitrain("pack", "--push", "--no-load", *named, *bases)
    assert done.returncode == 0, done.stderr
    reference = Reference.parse(target)
    pulled = pull_image(connect(reference.registry), reference, Platform())
    validate(pulled.image, deep=True)
    return pulled.image


def test_records_under_each_others_names_are_not_believed(job: SmallJob) -> None:
    expected = pack(job)
    facts = sorted((cache_of(job) / "layers" / "facts").iterdir())
    records = [path.read_bytes() for path in facts]
    for path, other in zip(facts, records[1:] + records[:1], strict=True):
        path.write_bytes(other)

    assert pack(job) == expected


def test_blobs_under_each_others_names_are_not_believed(job: SmallJob) -> None:
    expected = pack(job)
    blobs = sorted((cache_of(job) / "layers" / "blobs").iterdir())
    contents = [path.read_bytes() for path in blobs]
    for path, other in zip(blobs, contents[1:] + contents[:1], strict=True):
        path.write_bytes(other)

    assert pack(job) == expected


def test_a_cache_that_cannot_be_written_is_read(job: SmallJob) -> None:
    expected = pack(job)
    with read_only(cache_of(job)):
        assert pack(job) == expected
        (job.code / "helper.py").write_text("RATE = 0.02\n")
        edited = pack(job)

        assert edited != expected
        assert edited == with_new_cache(job)


@pytest.mark.parametrize("room", ["4k", "1m"])
def test_a_full_disk_costs_time_only(room: str, job: SmallJob) -> None:
    expected = with_new_cache(job)
    with small_disk(cache_of(job), room) as cache:
        assert pack(job) == expected
        assert pack(job) == expected
        assert left_over(cache) == []
    with small_disk(cache_of(job), "64m"):
        assert pack(job) == expected


def test_storage_without_links_will_do(job: SmallJob, tmp_path: Path) -> None:
    """strace answers for the kernel as some network storage does: there are no links."""
    refused = "link,linkat,symlink,symlinkat"
    told = tmp_path / "calls"
    trace = ["strace", "-f", "-qq", "-o", str(told), "-e", f"trace={refused}"]
    trace += ["-e", f"inject={refused}:error=EOPNOTSUPP"]
    for _ in range(2):
        done = subprocess.run(
            [*trace, sys.executable, "-m", "uaitrain", *words(job, tmp_path / "images")],
            cwd=job.folder,
            env=job.whole_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert digests(done.stdout) == with_new_cache(job)
    check(tmp_path / "images")


def test_eight_packs_share_a_cache_at_once(job: SmallJob, tmp_path: Path) -> None:
    """Four of one folder, four of its copies with an edit each; one more keeps deleting blobs."""
    jobs = [job] * (PACKS // 2)
    for number in range(PACKS // 2):
        folder = tmp_path / f"copy {number}"
        shutil.copytree(job.folder, folder)
        (folder / "code" / "helper.py").write_text(f"RATE = {number}\n")
        jobs.append(SmallJob(folder, job.base, job.environment))
    time.sleep(0.06)
    expected = [with_new_cache(each) for each in jobs]
    pruning = (
        "import sys, time; from pathlib import Path; from uaitrain.files.cache import LayerCache\n"
        "while True: LayerCache(Path(sys.argv[1])).prune(limit=0); time.sleep(0.005)"
    )
    pruner = subprocess.Popen([sys.executable, "-c", pruning, str(cache_of(job) / "layers")])
    try:
        for turn in range(2):
            layouts = [tmp_path / f"images {turn} {number}" for number in range(PACKS)]
            packs = [
                subprocess.Popen(
                    [sys.executable, "-m", "uaitrain", *words(each, layout)],
                    cwd=each.folder,
                    env=each.whole_environment(),
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for each, layout in zip(jobs, layouts, strict=True)
            ]
            said = [each.communicate()[0] for each in packs]

            assert [each.returncode for each in packs] == [0] * PACKS
            assert [digests(text) for text in said] == expected
            for layout in layouts:
                check(layout)
                shutil.rmtree(layout)
    finally:
        pruner.kill()
        pruner.wait()
    assert left_over(cache_of(job)) == []


def test_a_killed_packs_parts_are_deleted_after_a_day(job: SmallJob) -> None:
    expected = pack(job)
    blobs = cache_of(job) / "layers" / "blobs"
    old, young = blobs / ".part-old", blobs / ".part-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))

    assert pack(job) == expected
    assert not old.exists()
    assert young.exists()
