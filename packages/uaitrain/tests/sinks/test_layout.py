"""Images into OCI layouts, as folders and as tars."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.engines import RunningDocker
from support.tiny_image import layer_of, with_code
from uaitrain.errors import DigestError, StorageError
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.progress import Silent
from uaitrain.sinks.layout import ArchiveFile, LayoutFolder

CONFIG = {"os": "linux", "architecture": "amd64"}
IMAGE = Image((layer_of({"a": b"a"}), layer_of({"b": b"b"})), CONFIG)
NAME = Reference("", "mnist-cpu", "v1")


def test_a_folder_gets_the_image_under_its_name(tmp_path: Path) -> None:
    report = LayoutFolder(tmp_path / "out").put(IMAGE, NAME, Silent())

    assert report.place == f"oci:{tmp_path}/out:mnist-cpu:v1"
    assert (report.sent, report.reused) == (2, 0)
    assert report.sent_bytes == sum(layer.descriptor.size for layer in IMAGE.layers)
    validate(Layout(tmp_path / "out").image("mnist-cpu:v1"), deep=True)


def test_only_new_layers_are_written(tmp_path: Path) -> None:
    sink = LayoutFolder(tmp_path)
    sink.put(IMAGE, NAME, Silent())
    more = replace(IMAGE, layers=(*IMAGE.layers, layer_of({"c": b"c"})))
    report = sink.put(more, NAME, Silent())

    assert (report.sent, report.reused) == (1, 2)
    assert report.sent_bytes == more.layers[-1].descriptor.size


def test_skopeo_reads_the_tar(tmp_path: Path) -> None:
    path = tmp_path / "job.tar"
    report = ArchiveFile(path).put(IMAGE, NAME, Silent())
    subprocess.run(
        ["skopeo", "copy", "--insecure-policy", f"oci-archive:{path}", f"oci:{tmp_path}/copy:x"],
        check=True,
        capture_output=True,
    )

    assert (report.place, report.sent) == (str(path), 2)
    assert Layout(tmp_path / "copy").image("x").diff_ids == IMAGE.diff_ids


def test_the_same_image_gives_the_same_tar(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ArchiveFile(tmp_path / name).put(IMAGE, NAME, Silent())

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_docker_loads_the_tar_and_the_image_runs(
    tmp_path: Path, tiny: Image, docker_engine: RunningDocker
) -> None:
    path = tmp_path / "job.tar"
    ArchiveFile(path).put(with_code(tiny, "hello"), Reference("", "archive-file", "1"), Silent())
    docker_engine.engine.answer("load", "--quiet", "--input", str(path))
    shown = docker_engine.engine.answer("run", "--rm", "archive-file:1", "cat", "/data/text")

    assert shown == "hello"


@pytest.mark.parametrize("given", [b"damaged", b""])
def test_a_damaged_layer_leaves_no_tar(tmp_path: Path, given: bytes) -> None:
    layer = replace(IMAGE.layers[1], opener=lambda: io.BytesIO(given))
    path = tmp_path / "job.tar"
    path.write_bytes(b"the old one")
    with pytest.raises(DigestError):
        ArchiveFile(path).put(replace(IMAGE, layers=(layer,)), NAME, Silent())

    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        ArchiveFile(tmp_path / "nowhere" / "job.tar").put(IMAGE, NAME, Silent())
