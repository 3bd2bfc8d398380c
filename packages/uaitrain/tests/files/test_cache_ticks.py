"""A file that changes while its size and its times stay the same is not served stale."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from isal import igzip
from support.mounts import whole_seconds
from uaitrain.files.cache import LayerCache
from uaitrain.files.layers import FileLayer, folder_layers
from uaitrain.files.select import select
from uaitrain.oci.digest import Digest
from uaitrain.progress import Silent

ROUNDS = 200


def build(code: Path, cache: Path) -> FileLayer:
    (layer,) = folder_layers(select(code), "data", 0, LayerCache(cache), Silent())
    return layer


def holds(layer: FileLayer, content: bytes) -> bool:
    """Whether the layer's bytes have ``content``, and are those that its digests name."""
    with layer.open() as file:
        blob = file.read()
    tar = igzip.decompress(blob)
    right = layer.diff_id == Digest("sha256:" + hashlib.sha256(tar).hexdigest())
    return right and content in tar


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def test_writes_as_fast_as_they_come_are_all_seen(code: Path, tmp_path: Path) -> None:
    """Many of these writes fall into the tick of the clock in which the one before was read."""
    for number in range(ROUNDS):
        content = b"number = %06d\n" % number
        (code / "train.py").write_bytes(content)

        assert holds(build(code, tmp_path / "cache"), content), number


def test_where_times_have_whole_seconds_a_second_write_is_seen(tmp_path: Path) -> None:
    """Here the kernel itself gives both contents one and the same stat."""
    with whole_seconds(tmp_path / "disk", tmp_path / "disk.img") as disk:
        code = disk / "code"
        code.mkdir()
        file, alike, number = code / "train.py", 0, 0
        while alike < 3:
            number += 1
            contents = (b"a%06d\n" % number, b"b%06d\n" % number)
            file.write_bytes(contents[0])
            first = file.stat()
            assert holds(build(code, tmp_path / "cache"), contents[0])
            file.write_bytes(contents[1])
            alike += _told(first) == _told(file.stat())
            assert holds(build(code, tmp_path / "cache"), contents[1])


def _told(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def test_once_the_second_is_over_the_layer_is_known(tmp_path: Path) -> None:
    with whole_seconds(tmp_path / "disk", tmp_path / "disk.img") as disk:
        code = disk / "code"
        code.mkdir()
        (code / "train.py").write_bytes(b"settled")
        time.sleep(2.2)

        assert not build(code, tmp_path / "cache").known
        assert build(code, tmp_path / "cache").known


def test_mtime_set_back_does_not_hide_a_write(code: Path, tmp_path: Path) -> None:
    (code / "train.py").write_bytes(b"one")
    status = (code / "train.py").stat()
    time.sleep(0.06)
    build(code, tmp_path / "cache")
    (code / "train.py").write_bytes(b"two")
    os.utime(code / "train.py", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert holds(build(code, tmp_path / "cache"), b"two")


def test_a_file_in_place_of_another_of_the_same_times_is_seen(code: Path, tmp_path: Path) -> None:
    (code / "train.py").write_bytes(b"one")
    (tmp_path / "other").write_bytes(b"two")
    for path in (code / "train.py", tmp_path / "other"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    time.sleep(0.06)
    build(code, tmp_path / "cache")
    (tmp_path / "other").rename(code / "train.py")

    assert holds(build(code, tmp_path / "cache"), b"two")


def test_another_version_of_the_compressing_library_makes_other_layers(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would compress the files to is not known before it did."""
    (code / "train.py").write_bytes(b"one")
    time.sleep(0.06)
    build(code, tmp_path / "cache")
    known = build(code, tmp_path / "cache").known
    monkeypatch.setattr("uaitrain.files.cache.library_version", lambda: "another")

    assert known
    assert not build(code, tmp_path / "cache").known
