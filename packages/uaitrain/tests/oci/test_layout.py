"""OCI layouts in a folder."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from support.tiny_image import layer_of, with_code
from uaitrain.errors import DigestError, NotFoundError, StorageError
from uaitrain.oci.descriptor import OCI_INDEX, Descriptor, Platform
from uaitrain.oci.digest import digest_of, hex_part
from uaitrain.oci.image import Image, canonical_json
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.layout import REFERENCE_NAME, Layout
from uaitrain.oci.validate import validate

CONFIG = {"os": "linux", "architecture": "amd64", "config": {}}


def _image(text: bytes = b"data") -> Image:
    return Image((layer_of({"file": text}),), CONFIG)


def _blobs(layout: Layout) -> set[str]:
    return {path.name for path in (layout.path / "blobs" / "sha256").iterdir()}


def test_an_image_comes_back_as_it_was_put(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path / "layout"), _image()
    layout.put(image, "a:1")
    found = layout.image("a:1")

    assert (found.raw_manifest, found.raw_config) == (image.raw_manifest, image.raw_config)
    assert layout.names() == ("a:1",)
    assert layout.descriptor("a:1").digest == image.digest
    validate(found, deep=True)


def test_skopeo_and_umoci_read_the_layout(tmp_path: Path, tiny: Image) -> None:
    layout = Layout(tmp_path / "layout")
    layout.put(with_code(tiny, "hello"), "job:1")
    told = subprocess.run(
        ["skopeo", "inspect", f"oci:{layout.path}:job:1"], check=True, capture_output=True
    )
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{layout.path}:job:1", tmp_path / "bundle"],
        check=True,
        capture_output=True,
    )

    assert json.loads(told.stdout)["Digest"] == layout.image("job:1").digest
    assert (tmp_path / "bundle" / "rootfs" / "data" / "text").read_text() == "hello"


def test_a_layout_that_skopeo_wrote_is_read(tmp_path: Path) -> None:
    ours, theirs, image = Layout(tmp_path / "ours"), Layout(tmp_path / "theirs"), _image()
    ours.put(image, "a")
    subprocess.run(
        ["skopeo", "copy", "--insecure-policy", f"oci:{ours.path}:a", f"oci:{theirs.path}:b"],
        check=True,
        capture_output=True,
    )

    assert theirs.names() == ("b",)
    assert theirs.image("b").diff_ids == image.diff_ids
    theirs.put(_image(b"second"), "c")
    assert theirs.names() == ("b", "c")


def test_putting_again_under_a_name_frees_what_had_it(tmp_path: Path) -> None:
    layout, old, new = Layout(tmp_path), _image(b"old"), _image(b"new")
    layout.put(old, "a")
    layout.put(new, "a")

    assert layout.image("a").digest == new.digest
    assert _blobs(layout) == {
        hex_part(d)
        for d in (new.digest, new.config_descriptor.digest, new.layers[0].descriptor.digest)
    }


def test_removing_keeps_the_blobs_that_another_image_uses(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path), _image()
    layout.put(image, "a")
    layout.put(image.configure(labels={"x": "y"}), "b")
    layout.remove("a")
    validate(layout.image("b"), deep=True)
    layout.remove("b")

    assert _blobs(layout) == set()
    assert layout.names() == ()


def test_an_unknown_name_is_told_with_the_names_there_are(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.put(_image(), "known")
    with pytest.raises(NotFoundError) as caught:
        layout.image("unknown")

    assert "'unknown'" in caught.value.what
    assert caught.value.allowed == "known"


def test_no_name_means_the_only_image(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path), _image()
    layout.put(image, "a")
    assert layout.image("").digest == image.digest
    layout.put(_image(b"second"), "b")
    with pytest.raises(NotFoundError, match="more than one"):
        layout.image("")


def test_a_folder_that_is_not_there_is_an_empty_layout(tmp_path: Path) -> None:
    assert Layout(tmp_path / "nowhere").names() == ()


def test_a_folder_without_an_index_is_no_layout(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"has no index\.json"):
        Layout(tmp_path).names()


def test_a_broken_index_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.put(_image(), "a")
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(StorageError, match=r"index\.json is broken"):
        layout.image("a")


def test_a_missing_blob_is_a_broken_layout(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path), _image()
    layout.put(image, "a")
    (tmp_path / "blobs" / "sha256" / hex_part(image.config_descriptor.digest)).unlink()
    with pytest.raises(StorageError, match="is missing"):
        layout.image("a")


def test_a_damaged_manifest_is_not_believed(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path), _image()
    layout.put(image, "a")
    path = tmp_path / "blobs" / "sha256" / hex_part(image.digest)
    path.write_bytes(path.read_bytes().replace(b"linux", b"LINUX") + b" ")
    with pytest.raises(DigestError, match="the bytes have digest"):
        layout.image("a")


@pytest.mark.parametrize("given", [b"other bytes", b""])
def test_a_layer_of_other_bytes_leaves_no_trace(tmp_path: Path, given: bytes) -> None:
    layout, good = Layout(tmp_path), _image()
    layout.put(good, "a")
    before = _blobs(layout)
    bad = replace(_image(b"else").layers[0])
    wrong = Image((BlobLayer(bad.diff_id, bad.descriptor, lambda: io.BytesIO(given)),), CONFIG)
    with pytest.raises(DigestError):
        layout.put(wrong, "b")

    assert layout.names() == ("a",)
    assert _blobs(layout) == before


def test_blobs_that_are_there_are_not_read_again(tmp_path: Path) -> None:
    def refuse() -> BinaryIO:
        raise AssertionError("read again")

    layout, image = Layout(tmp_path), _image()
    layout.put(image, "a")
    layer = image.layers[0]
    closed = Image((BlobLayer(layer.diff_id, layer.descriptor, refuse),), CONFIG)
    layout.put(closed, "b")

    assert layout.names() == ("a", "b")


def test_from_an_index_the_platform_is_chosen(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    wanted = _image(b"amd64")
    other = replace(_image(b"arm64"), config=CONFIG | {"architecture": "arm64"})
    for name, image in (("amd64", wanted), ("arm64", other)):
        layout.put(image, name)
    raw = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [other.descriptor.to_json(), wanted.descriptor.to_json()],
        }
    )
    with layout.writer(Descriptor(OCI_INDEX, digest_of(raw), len(raw))) as blob:
        blob.write(raw)
    index = Descriptor(OCI_INDEX, digest_of(raw), len(raw), {REFERENCE_NAME: "both"})
    (tmp_path / "index.json").write_bytes(
        canonical_json({"schemaVersion": 2, "manifests": [index.to_json()]})
    )

    assert layout.image("both").digest == wanted.digest
    assert layout.image("both", Platform("linux", "arm64")).digest == other.digest
    with pytest.raises(NotFoundError, match="no image for linux/s390x"):
        layout.image("both", Platform("linux", "s390x"))
    layout.collect()
    validate(layout.image("both"), deep=True)


def test_collection_removes_what_a_killed_writer_left(tmp_path: Path) -> None:
    layout, image = Layout(tmp_path), _image()
    layout.put(image, "a")
    (tmp_path / "blobs" / "sha256" / ".partial-killed").write_bytes(b"half")
    freed = layout.collect()

    assert freed == 4
    validate(layout.image("a"), deep=True)


def test_nothing_is_collected_while_another_process_writes(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.put(_image(), "a")
    seen: list[set[str]] = []

    def open_and_collect() -> BinaryIO:
        orphan = tmp_path / "blobs" / "sha256" / ("0" * 64)
        orphan.write_bytes(b"about to be named by an index")
        assert layout.collect() == 0
        seen.append(_blobs(layout))
        return layer.open()

    layer = _image(b"second").layers[0]
    layout.put(Image((BlobLayer(layer.diff_id, layer.descriptor, open_and_collect),), CONFIG), "b")

    assert "0" * 64 in seen[0]
    assert "0" * 64 not in _blobs(layout)


def _put_many(path: Path, prefix: str) -> None:
    layout = Layout(path)
    for number in range(12):
        layout.put(_image(f"{prefix}{number % 3}".encode()), f"{prefix}-{number}")
        if number % 4 == 3:
            layout.remove(f"{prefix}-{number}")


def test_processes_that_put_and_remove_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_put_many, args=(tmp_path / "l", p)) for p in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    layout = Layout(tmp_path / "l")

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(layout.names()) == 27
    for name in layout.names():
        validate(layout.image(name), deep=True)


def test_a_full_disk_is_told_and_the_old_image_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)],
        check=True,
        capture_output=True,
    )
    try:
        layout, small = Layout(disk / "layout"), _image()
        layout.put(small, "a")
        with pytest.raises(StorageError, match="No space left on device") as caught:
            layout.put(_image(os.urandom(1 << 20)), "a")
        assert "free some space" in caught.value.next_step
        assert layout.image("a").digest == small.digest
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(disk)


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StorageError, match=r"cannot lock .*: No locks available"):
        Layout(tmp_path / "layout").put(_image(), "name")
