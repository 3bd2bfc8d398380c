"""Loading images into real engines."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO

import pytest
from support.engines import RunningDocker, RunningPodman
from support.tiny_image import with_code
from uaitrain.engines import Engine, store
from uaitrain.errors import DigestError, RegistryError
from uaitrain.oci.image import Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.sinks import SinkReport
from uaitrain.sinks.engine import EngineSink


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Engine:
    running = request.getfixturevalue(f"{request.param}_engine")
    assert isinstance(running, RunningDocker | RunningPodman)
    return running.engine


def _put(engine: Engine, image: Image, name: str) -> SinkReport:
    return EngineSink(engine).put(image, Reference("", name, "uaitrain"), Silent())


def _text(engine: Engine, name: str) -> str:
    return engine.answer("run", "--rm", f"{name}:uaitrain", "cat", "/data/text")


def _unopenable(image: Image) -> Image:
    """The same image, whose layers so far can no longer be read."""

    def refuse() -> BinaryIO:
        raise RegistryError("this layer must not be read")

    closed = (BlobLayer(layer.diff_id, layer.descriptor, refuse) for layer in image.layers)
    return replace(image, layers=tuple(closed))


def test_a_loaded_image_runs_with_its_files_and_under_its_own_digest(
    engine: Engine, tiny: Image
) -> None:
    image = with_code(tiny, "first")
    report = _put(engine, image, "loaded-cpu")

    assert _text(engine, "loaded-cpu") == "first"
    assert (report.sent + report.reused) == 2
    stored = store.find(engine, Reference("", "loaded-cpu", "uaitrain"))
    assert stored is not None
    assert f"sha256:{stored.identifier}" == image.config_descriptor.digest


def test_only_layers_that_the_engine_lacks_are_read_and_sent(engine: Engine, tiny: Image) -> None:
    _put(engine, with_code(tiny, "older"), "reused-cpu")
    image = with_code(_unopenable(tiny), "newer")
    report = _put(engine, image, "reused-cpu")

    assert (report.sent, report.reused) == (1, 1)
    assert report.sent_bytes == image.layers[-1].descriptor.size
    assert _text(engine, "reused-cpu") == "newer"


def test_an_image_that_is_there_under_its_name_is_not_sent_again(
    engine: Engine, tiny: Image
) -> None:
    image = with_code(tiny, "unchanged")
    _put(engine, image, "unchanged-cpu")
    report = _put(engine, _unopenable(image), "unchanged-cpu")

    assert (report.sent, report.reused, report.sent_bytes) == (0, 2, 0)


def test_a_damaged_layer_is_named_and_leaves_no_image(engine: Engine, tiny: Image) -> None:
    good = with_code(tiny, "damaged")
    top = good.layers[-1]
    blob = bytearray(top.open().read())
    blob[-1] ^= 1
    damaged = replace(top, opener=lambda: io.BytesIO(bytes(blob)))
    image = replace(good, layers=(*tiny.layers, damaged))

    with pytest.raises(DigestError, match=top.descriptor.digest):
        _put(engine, image, "damaged-cpu")
    assert not store.has(engine, Reference("", "damaged-cpu", "uaitrain"))


def test_a_layer_that_ends_early_leaves_no_image(engine: Engine, tiny: Image) -> None:
    good = with_code(tiny, "short")
    top = good.layers[-1]
    short = replace(top, opener=lambda: io.BytesIO(top.open().read()[:-5]))

    with pytest.raises(RegistryError, match=r"5 of .* bytes are missing"):
        _put(engine, replace(good, layers=(*tiny.layers, short)), "short-cpu")
    assert not store.has(engine, Reference("", "short-cpu", "uaitrain"))


class _Interrupting(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise KeyboardInterrupt


def test_ctrl_c_while_loading_leaves_the_older_image(engine: Engine, tiny: Image) -> None:
    older = with_code(tiny, "older")
    _put(engine, older, "stopped-cpu")
    newer = with_code(tiny, "newer, never whole")
    stopping = replace(newer.layers[-1], opener=_Interrupting)

    with pytest.raises(KeyboardInterrupt):
        _put(engine, replace(newer, layers=(*tiny.layers, stopping)), "stopped-cpu")
    assert _text(engine, "stopped-cpu") == "older"


def test_docker_lists_the_image_by_the_manuals_name(
    docker_engine: RunningDocker, tiny: Image
) -> None:
    image = with_code(tiny, "named")
    reference = Reference("uhub.service.ucloud.cn", "caffe-demo/caffe-mnist", "uaitrain")
    EngineSink(docker_engine.engine).put(image, reference, Silent())
    _put(docker_engine.engine, image, "caffe-mnist-cpu")

    names = docker_engine.engine.answer("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert "uhub.service.ucloud.cn/caffe-demo/caffe-mnist:uaitrain" in names
    assert "caffe-mnist-cpu:uaitrain" in names
