"""Layers made of files: reproducible bytes, one pass, and never a stale digest."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from pathlib import Path

import pytest
from isal import igzip
from uaitrain.errors import SourceError
from uaitrain.files.cache import LayerCache
from uaitrain.files.inventory import is_settled
from uaitrain.files.layers import FileLayer, build_layers
from uaitrain.files.plan import LARGE_BYTES, plan_layers
from uaitrain.files.select import select
from uaitrain.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP
from uaitrain.progress import Silent


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "cache")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "pkg").mkdir(parents=True)
    (folder / "train.py").write_text("print('hello')\n" * 1000)
    (folder / "pkg" / "net.prototxt").write_text("layer {}\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "link").symlink_to("pkg/net.prototxt")
    age()
    return folder


def age() -> None:
    """Let the clock move on, so that the files' times are older than what follows."""
    time.sleep(0.06)


def layers_of(code: Path, cache: LayerCache) -> tuple[FileLayer, ...]:
    return build_layers(code, plan_layers(select(code), "data"), cache, Silent())


def blob(layer: FileLayer) -> bytes:
    with layer.open() as file:
        return file.read()


def test_the_blob_is_what_the_descriptor_says_and_holds_the_folder(
    code: Path, cache: LayerCache
) -> None:
    (layer,) = layers_of(code, cache)
    raw = blob(layer)
    tar = igzip.decompress(raw)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = {m.name: m for m in archive}

    assert layer.descriptor.media_type == OCI_LAYER_GZIP
    assert layer.descriptor.size == len(raw)
    assert layer.descriptor.digest == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert layer.diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()
    assert list(members) == [
        "data",
        "data/link",
        "data/pkg",
        "data/pkg/net.prototxt",
        "data/run.sh",
        "data/train.py",
    ]
    assert [oct(members[f"data/{n}"].mode) for n in ("run.sh", "train.py", "pkg")] == [
        "0o755",
        "0o644",
        "0o755",
    ]
    assert members["data/link"].linkname == "pkg/net.prototxt"
    assert {(m.uid, m.gid, m.uname, m.mtime) for m in members.values()} == {(0, 0, "", 0)}


def test_the_same_content_elsewhere_gives_the_same_digest(
    code: Path, tmp_path: Path, cache: LayerCache
) -> None:
    other = tmp_path / "another place"
    old_mask = os.umask(0o077)
    try:
        os.system(f"cp -rP '{code}' '{other}' && touch -d 2001-01-01 '{other}/train.py'")  # noqa: S605 - fixed text
    finally:
        os.umask(old_mask)

    (first,) = layers_of(code, cache)
    (second,) = layers_of(other, LayerCache(tmp_path / "other cache"))

    assert first.descriptor == second.descriptor


def test_owners_hard_links_holes_and_others_rights_do_not_count(
    code: Path, tmp_path: Path, cache: LayerCache
) -> None:
    (code / "zeros.bin").write_bytes(bytes(300_000))
    (code / "again.py").write_bytes((code / "train.py").read_bytes())
    other = tmp_path / "other"
    (other / "pkg").mkdir(parents=True)
    for name in ("train.py", "pkg/net.prototxt", "run.sh"):
        (other / name).write_bytes((code / name).read_bytes())
    (other / "again.py").hardlink_to(other / "train.py")
    (other / "link").symlink_to("pkg/net.prototxt")
    with (other / "zeros.bin").open("wb") as file:
        file.truncate(300_000)
    for path in (other / "train.py", other / "zeros.bin", other / "pkg" / "net.prototxt"):
        path.chmod(0o600)
    (other / "run.sh").chmod(0o700)
    (other / "pkg").chmod(0o700)
    if os.geteuid() == 0:
        os.chown(other / "run.sh", 1234, 4321)
    age()

    (first,) = layers_of(code, cache)
    (second,) = layers_of(other, LayerCache(tmp_path / "other cache"))

    assert first.descriptor == second.descriptor


def test_an_unchanged_folder_is_known_without_being_read(code: Path, cache: LayerCache) -> None:
    (first,) = layers_of(code, cache)
    (second,) = layers_of(code, cache)

    assert (first.known, second.known) == (False, True)
    assert first.descriptor == second.descriptor


def test_an_edit_is_seen(code: Path, cache: LayerCache) -> None:
    (first,) = layers_of(code, cache)
    (code / "train.py").write_text("print('other')\n" * 1000)
    (second,) = layers_of(code, cache)

    assert not second.known
    assert first.descriptor.digest != second.descriptor.digest


def test_an_edit_that_restores_size_and_mtime_is_seen(code: Path, cache: LayerCache) -> None:
    times = (code / "train.py").stat()
    (first,) = layers_of(code, cache)
    (code / "train.py").write_text("print('hellO')\n" * 1000)
    os.utime(code / "train.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    (second,) = layers_of(code, cache)

    assert first.descriptor.digest != second.descriptor.digest


def test_a_layer_read_within_the_tick_of_a_change_is_not_remembered(
    code: Path, cache: LayerCache
) -> None:
    (code / "train.py").write_text("new")
    (plan,) = plan_layers(select(code), "data")
    newest = max(e.ctime_ns for e in plan.entries)

    assert not is_settled(plan.entries, newest + 1)
    assert is_settled(plan.entries, newest + 60_000_000)


def test_large_files_that_do_not_shrink_are_stored_as_plain_tar(
    code: Path, cache: LayerCache
) -> None:
    (code / "noise.bin").write_bytes(os.urandom(LARGE_BYTES))
    (code / "zeros.bin").write_bytes(bytes(LARGE_BYTES))
    _, noise, zeros = layers_of(code, cache)

    assert noise.descriptor.media_type == OCI_LAYER
    assert noise.descriptor.digest == noise.diff_id
    assert hashlib.sha256(blob(noise)).hexdigest() == noise.diff_id[7:]
    assert zeros.descriptor.media_type == OCI_LAYER_GZIP
    assert zeros.descriptor.size < LARGE_BYTES // 50


def test_a_lost_cache_costs_time_only(code: Path, cache: LayerCache, tmp_path: Path) -> None:
    (layer,) = layers_of(code, cache)
    raw = blob(layer)
    for path in (tmp_path / "cache" / "blobs").iterdir():
        path.unlink()

    assert blob(layer) == raw


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"diff_id": 3}', b"\xff"])
def test_a_damaged_memory_is_built_anew(
    code: Path, cache: LayerCache, tmp_path: Path, damage: bytes
) -> None:
    (first,) = layers_of(code, cache)
    for path in (tmp_path / "cache" / "facts").iterdir():
        path.write_bytes(damage)
    (second,) = layers_of(code, cache)

    assert not second.known
    assert second.descriptor == first.descriptor


def test_a_file_that_changes_after_the_walk_stops_the_build(code: Path, cache: LayerCache) -> None:
    plans = plan_layers(select(code), "data")
    (code / "train.py").write_text("grown" * 10_000)

    with pytest.raises(SourceError, match=r"train\.py' changed while it was being packed"):
        build_layers(code, plans, cache, Silent())


def test_a_file_that_vanishes_after_the_walk_stops_the_build(code: Path, cache: LayerCache) -> None:
    plans = plan_layers(select(code), "data")
    (code / "train.py").unlink()

    with pytest.raises(SourceError, match="changed while it was being packed"):
        build_layers(code, plans, cache, Silent())


def test_names_of_any_bytes_and_length_survive(tmp_path: Path, cache: LayerCache) -> None:
    code = tmp_path / "c"
    code.mkdir()
    names = ["ü" * 100, "x" * 200, "tab\tnew\nline", "quote'\"$", "café".encode("latin-1")]
    for name in names:
        path = os.fsencode(code) + b"/" + (name if isinstance(name, bytes) else name.encode())
        Path(os.fsdecode(path)).write_text("x")
    (layer,) = layers_of(code, cache)
    tar = io.BytesIO(igzip.decompress(blob(layer)))
    with tarfile.open(fileobj=tar, errors="surrogateescape") as archive:
        members = archive.getnames()

    assert set(members) == {"data"} | {
        "data/" + (n if isinstance(n, str) else n.decode("utf-8", "surrogateescape")) for n in names
    }


def test_spooled_blobs_beyond_the_limit_are_pruned_oldest_first(
    code: Path, cache: LayerCache, tmp_path: Path
) -> None:
    (first,) = layers_of(code, cache)
    (code / "train.py").write_text("other")
    age()
    (second,) = layers_of(code, cache)
    os.utime(tmp_path / "cache" / "blobs" / first.descriptor.digest[7:], (1, 1))
    cache.prune(limit=second.descriptor.size)

    assert cache.open_blob(first.descriptor) is None
    kept = cache.open_blob(second.descriptor)
    assert kept is not None
    kept.close()


def test_an_unusable_cache_folder_costs_time_only(code: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (layer,) = layers_of(code, LayerCache(tmp_path / "file" / "cache"))

    assert hashlib.sha256(blob(layer)).hexdigest() == layer.descriptor.digest[7:]
