"""The packed image by its digest: in a real registry, an OCI layout and a real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.engines import RunningDocker
from support.registry import RunningRegistry
from support.tiny_image import layer_of, with_code
from uaitrain.access import Access, Registries
from uaitrain.bases import mover_file
from uaitrain.errors import RegistryError, UsageError
from uaitrain.oci.image import History, Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.runs.packed import PackedImage, find
from uaitrain.ship_settings import SHIP_SETTINGS
from uaitrain.sinks.engine import EngineSink
from uaitrain.sinks.registry import RegistrySink
from uaitrain.spec import CPU, GPU, Framework, Target, TrainSpec

S3 = {"run.output": "s3://bucket/results"}


def _spec(host: str = "", **ship: Any) -> TrainSpec:
    return TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=Path("/code"),
        main_file="train.py",
        data=Path("/data"),
        output=Path("/output"),
        target=Target(host, "me" if host else "", "found", "uaitrain"),
        ship={setting.key: setting.default for setting in SHIP_SETTINGS} | ship,
    )


def _with_mover(image: Image) -> Image:
    layer = layer_of({"opt/uaitrain/rclone": b"a stand-in\n"})
    return image.append([layer], [History(f"uaitrain pack: {mover_file.LAYER}")])


def _find(spec: TrainSpec, accelerator: str, backend: str, **options: str) -> PackedImage:
    return find(spec, accelerator, backend, options, Registries(Access(spec.target.host)))


def _push(image: Image, reference: Reference) -> None:
    connection = Registries(Access(reference.registry)).connect(reference.registry)
    RegistrySink(connection).put(image, reference, Silent())


def test_in_a_registry_a_tag_becomes_its_digest(registry: RunningRegistry, tiny: Image) -> None:
    spec, image = _spec(registry.host), with_code(tiny, "pushed")
    with pytest.raises(UsageError, match="it was never pushed"):
        _find(spec, GPU, "kubernetes")
    _push(image, spec.target.gpu)
    name = f"{registry.host}/me/found:uaitrain"

    assert _find(spec, GPU, "kubernetes") == PackedImage(
        name, f"{name}@{image.digest}", image.digest
    )
    with pytest.raises(UsageError, match="there is no CPU image") as caught:
        _find(spec, CPU, "kubernetes")
    assert f"docker push {registry.host}/me/found-cpu:uaitrain" in caught.value.next_step
    _push(image, Reference(registry.host, "me/found-cpu", "uaitrain"))
    assert _find(spec, CPU, "slurm", **{"slurm.layout": ""}).digest == image.digest


def test_an_image_without_the_mover_cannot_have_its_places_behind_uris(
    registry: RunningRegistry, tiny: Image
) -> None:
    spec, image = _spec(registry.host, **S3), with_code(tiny, "moved")
    _push(image, spec.target.gpu)
    with pytest.raises(UsageError, match="cannot reach s3:// and other URIs"):
        _find(spec, GPU, "kubernetes")
    # The platform moves data by itself.
    assert _find(spec, GPU, "uai").digest == image.digest
    _push(_with_mover(image), spec.target.gpu)

    assert _find(spec, GPU, "kubernetes").digest == _with_mover(image).digest


def test_in_a_layout(tiny: Image, tmp_path: Path) -> None:
    image, spec = with_code(tiny, "laid"), _spec()
    options = {"slurm.layout": str(tmp_path / "images")}
    with pytest.raises(UsageError, match="has no image found-cpu:uaitrain"):
        _find(spec, CPU, "slurm", **options)
    Layout(tmp_path / "images").put(image, "found-cpu:uaitrain")

    assert _find(spec, CPU, "slurm", **options) == PackedImage(
        "found-cpu:uaitrain", f"found-cpu:uaitrain@{image.digest}", image.digest
    )
    with pytest.raises(UsageError, match="cannot reach s3://"):
        _find(_spec(**S3), CPU, "slurm", **options)
    Layout(tmp_path / "images").put(_with_mover(image), "found-cpu:uaitrain")
    assert _find(_spec(**S3), CPU, "slurm", **options).digest == _with_mover(image).digest


def test_in_an_engine_the_id_says_which_image_it_was(
    docker_engine: RunningDocker, tiny: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    options, name = {"local.engine": "docker"}, Reference("", "found-cpu", "uaitrain")
    with pytest.raises(UsageError, match="docker has no image found-cpu:uaitrain"):
        _find(_spec(), CPU, "local", **options)
    EngineSink(docker_engine.engine).put(with_code(tiny, "loaded"), name, Silent())
    found = _find(_spec(), CPU, "local", **options)

    assert found.digest == f"sha256:{found.reference}"
    assert (
        found.digest
        == docker_engine.engine.answer("image", "inspect", "--format", "{{.Id}}", str(name)).strip()
    )
    with pytest.raises(UsageError, match="cannot reach s3://"):
        _find(_spec(**S3), CPU, "local", **options)
    EngineSink(docker_engine.engine).put(_with_mover(with_code(tiny, "loaded")), name, Silent())
    assert _find(_spec(**S3), CPU, "local", **options).digest != found.digest


def test_a_registry_that_cannot_be_asked_is_told() -> None:
    with pytest.raises(RegistryError):
        _find(_spec("127.0.0.1:1"), GPU, "kubernetes")


def test_a_job_that_stays_here_goes_to_no_cluster() -> None:
    with pytest.raises(UsageError, match="found:uaitrain names no registry"):
        _find(_spec(), GPU, "kubernetes")
