"""Which image is meant, and images from every place they may lie in."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from pathlib import Path

import pytest
from support.engines import RunningDocker, RunningPodman
from support.images import at, client
from support.inspected import image, layer, member, never
from support.registry import RunningRegistry
from support.tiny_image import with_code
from uaitrain import engines
from uaitrain.access import Access, Registries
from uaitrain.bases.catalogue import LayoutReference
from uaitrain.engines import Engine
from uaitrain.errors import EngineError, NotFoundError, RegistryError, StorageError, UsageError
from uaitrain.inspection.archive import read_archive
from uaitrain.inspection.engine_image import EngineImage
from uaitrain.inspection.look import difference
from uaitrain.inspection.source import Found, opened
from uaitrain.inspection.target import InArchive, InEngine, InRegistry, parse_target
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import History, Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.progress import Silent
from uaitrain.registry.push import push_image
from uaitrain.registry.referrers import Artifact, attach
from uaitrain.sinks.engine import EngineSink
from uaitrain.sinks.layout import ArchiveFile

IMAGE = image(layer({"usr/bin/python": b"python"}), layer({"data/train.py": b"train"}))
CPU = Reference("", "mnist", "v1-cpu")


def _same_files(place: Found, pushed: Image = IMAGE) -> bool:
    other = Found("other", pushed, pushed.digest, "here")
    changed = image(*pushed.layers[:-1], layer({"data/train.py": b"trained"}))
    differs = difference(place, Found("", changed, changed.digest, ""), Silent())
    assert [c.path for c in differs.files][-1:] == ["data/train.py"]
    return not difference(place, other, Silent()).files


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("host:5000/a/b:v1", InRegistry(Reference("host:5000", "a/b", "v1"))),
        ("docker.io/debian", InRegistry(Reference("docker.io", "library/debian", "latest"))),
        ("mnist:v1", InEngine(Reference("", "mnist", "v1"))),
        ("team/mnist", InEngine(Reference("", "team/mnist", "latest"))),
        ("engine:host:5000/a:v1", InEngine(Reference("host:5000", "a", "v1"))),
        ("oci:/there:name:v1", LayoutReference(Path("/there"), "name:v1")),
        ("oci:/there", LayoutReference(Path("/there"), "")),
        ("archive:/a.tar", InArchive(Path("/a.tar"))),
    ],
)
def test_the_form_of_the_word_says_where_the_image_is(text: str, target: object) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["", "archive:", "oci:", "UPPER", "host/a:b:c", "engine:"])
def test_what_names_no_image_is_answered_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text)

    assert caught.value.allowed


def test_of_a_registrys_image_no_layer_is_read_and_what_is_attached_is_told(
    registry: RunningRegistry,
) -> None:
    reference = at(registry.host)
    push_image(client(registry.host), IMAGE, reference)
    artifact = Artifact("application/x-note", "text/plain", b"note", IMAGE.descriptor)
    attach(client(registry.host), reference.repository, artifact)
    registry.log.write_text("")
    with opened(InRegistry(reference), Registries(Access()), None) as found:
        read = [
            each.descriptor.digest
            for each in IMAGE.layers
            if each.descriptor.digest in registry.log.read_text()
        ]

        assert (found.digest, read) == (IMAGE.digest, [])
        assert [each["artifactType"] for each in found.attached] == ["application/x-note"]
        assert _same_files(found)


def test_a_layouts_image_is_read(tmp_path: Path) -> None:
    Layout(tmp_path).put(IMAGE, "mnist:v1")
    with opened(LayoutReference(tmp_path, ""), Registries(Access()), None) as found:
        assert (found.digest, _same_files(found)) == (IMAGE.digest, True)


def test_an_archives_image_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    ArchiveFile(path).put(IMAGE, CPU, Silent())
    with opened(InArchive(path), Registries(Access()), None) as found:
        assert (found.digest, _same_files(found)) == (IMAGE.config_descriptor.digest, True)


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Engine:
    running = request.getfixturevalue(f"{request.param}_engine")
    assert isinstance(running, RunningDocker | RunningPodman)
    return running.engine


def test_an_engines_image_is_described_without_its_layers_and_read_when_asked(
    engine: Engine, tiny: Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = layer({"data/train.py": b"train"})
    packed = tiny.append([code], [History("uaitrain pack: code")])
    EngineSink(engine).put(packed, CPU, Silent())
    found = EngineImage(engine, CPU)
    try:
        assert found.image.diff_ids == packed.diff_ids
        assert found.image.config["history"][-1]["created_by"] == "uaitrain pack: code"
        assert list(tmp_path.iterdir()) == []
        assert _same_files(Found("it", found.image, found.digest, ""), packed)
    finally:
        found.close()
    assert list(tmp_path.iterdir()) == []


def test_what_an_engine_saves_is_an_archive(engine: Engine, tiny: Image, tmp_path: Path) -> None:
    packed = with_code(tiny, "saved")
    EngineSink(engine).put(packed, CPU, Silent())
    path = tmp_path / "saved.tar"
    path.write_bytes(_saved(engine))
    found, _ = read_archive(path)

    assert found.diff_ids == packed.diff_ids
    assert found.labels == packed.labels


def _saved(engine: Engine) -> bytes:
    import subprocess

    done = subprocess.run(
        engine.argv("save", "mnist:v1-cpu"),
        env=engine.child_environment(),
        capture_output=True,
        check=True,
    )
    return done.stdout


def test_an_image_that_an_engine_lacks_is_answered_with_how_to_list_them(engine: Engine) -> None:
    with pytest.raises(EngineError, match="has no image nobody:v1") as caught:
        EngineImage(engine, Reference("", "nobody", "v1"))

    assert "image ls" in caught.value.next_step


def test_without_an_engine_a_name_without_host_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "find_engine", lambda: None)
    with (
        pytest.raises(EngineError, match="names no registry's host"),
        opened(InEngine(CPU), Registries(Access()), None),
    ):
        pass


def test_what_is_not_there_is_told(registry: RunningRegistry, tmp_path: Path) -> None:
    for target, kind in (
        (InRegistry(at(registry.host, "no/such:v1")), NotFoundError),
        (InArchive(tmp_path / "none.tar"), StorageError),
        (LayoutReference(tmp_path / "none", "x"), NotFoundError),
    ):
        with pytest.raises(kind), opened(target, Registries(Access()), None):
            pass


def _tar(path: Path, documents: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in documents.items():
            archive.addfile(member(name, data), io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


CONFIG = json.dumps({"rootfs": {"diff_ids": []}}).encode()


@pytest.mark.parametrize(
    "documents",
    [
        {},
        {"manifest.json": b"no json"},
        {"manifest.json": b"[" * 100_000},
        {"manifest.json": b"[]"},
        {"manifest.json": b"[3]"},
        {"manifest.json": b'{"a": 1}'},
        {"manifest.json": b'[{"Config": "c"}]'},
        {"manifest.json": b'[{"Config": "c", "Layers": []}]'},
        {"manifest.json": b'[{"Config": "c", "Layers": ["x"]}]', "c": CONFIG},
        {"manifest.json": b'[{"Config": "c", "Layers": []}, {}]', "c": CONFIG},
        {"manifest.json": b'[{"Config": "../../c", "Layers": []}]', "c": CONFIG},
        {"manifest.json": bytes(5 << 20)},
        {
            "manifest.json": b'[{"Config": "%s.json", "Layers": []}]' % (b"0" * 64),
            f"{'0' * 64}.json": CONFIG,
        },
    ],
    ids=range(13),
)
def test_an_archive_that_is_none_is_refused(tmp_path: Path, documents: dict[str, bytes]) -> None:
    with pytest.raises(RegistryError):
        read_archive(_tar(tmp_path / "a.tar", documents))


def test_a_link_that_leads_round_in_an_archive_is_refused(tmp_path: Path) -> None:
    round_and_round = member("manifest.json", type=tarfile.SYMTYPE, linkname="manifest.json")

    with pytest.raises(RegistryError, match="lacks"):
        read_archive(_tar(tmp_path / "a.tar", {}, round_and_round))


def test_a_layer_that_an_old_archive_links_to_is_found(tmp_path: Path) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as inner:
        inner.addfile(member("a", b"abc"), io.BytesIO(b"abc"))
    config = {"rootfs": {"diff_ids": [digest_of(tar.getvalue())]}}
    documents = {
        "manifest.json": b'[{"Config": "c.json", "Layers": ["two/layer.tar"]}]',
        "c.json": json.dumps(config).encode(),
        "one/layer.tar": tar.getvalue(),
    }
    link = member("two/layer.tar", type=tarfile.SYMTYPE, linkname="../one/layer.tar")
    found, _ = read_archive(_tar(tmp_path / "a.tar", documents, link))

    assert found.layers[0].open().read() == tar.getvalue()


@pytest.mark.parametrize("config", [{"Labels": []}, "text", {"Labels": "x"}])
def test_settings_that_are_no_object_are_refused(tmp_path: Path, config: object) -> None:
    given = image(never(layer({"a": b""})))
    value = {**given.config, "config": config, "rootfs": {"diff_ids": []}}
    documents = {
        "manifest.json": b'[{"Config": "c", "Layers": []}]',
        "c": json.dumps(value).encode(),
    }
    path = _tar(tmp_path / "a.tar", documents)
    with pytest.raises(RegistryError), opened(InArchive(path), Registries(Access()), None):
        pass
