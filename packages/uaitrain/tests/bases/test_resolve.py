"""From a choice to a base image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.registry import RunningRegistry
from support.tiny_image import layer_of
from uaitrain.bases import catalogue, labels
from uaitrain.bases.catalogue import BaseEntry, LayoutReference
from uaitrain.bases.resolve import Pulled, resolve_base
from uaitrain.bases.store import Store
from uaitrain.errors import BaseError, RegistryError
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.registry import connect
from uaitrain.registry.pull import pull_image
from uaitrain.registry.push import push_image
from uaitrain.spec import Framework

CONFIG = {"os": "linux", "architecture": "amd64", "config": {}}
IMAGE = Image((layer_of({"usr/bin/python3.9": b""}, {"usr/bin/python": "python3.9"}),), CONFIG)
CAFFE = Framework("caffe", "1.0.0")
RECIPE_ENTRY = BaseEntry("own", CAFFE, "cpu", recipe="own.toml")


def _pull(reference: Reference) -> Pulled:
    return pull_image(connect(reference.registry), reference, Platform())


def _refuse(reference: Reference) -> Pulled:
    raise AssertionError(f"asked a registry for {reference}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Layout(tmp_path / "bases"))


def test_a_recipe_comes_from_the_store(store: Store) -> None:
    image = IMAGE.configure(labels={labels.PYTHON: "3.9.2", labels.ACCELERATOR: "cpu"})
    store.put(image, "own")
    base = resolve_base(RECIPE_ENTRY, store, _refuse)

    assert (base.digest, base.name, base.local) == (image.digest, "own", True)
    assert (base.python, base.accelerator, base.reference) == ("3.9.2", "cpu", None)


def test_a_recipe_that_is_not_built_is_answered_with_the_command(store: Store) -> None:
    with pytest.raises(BaseError, match="base own is not on this machine") as caught:
        resolve_base(RECIPE_ENTRY, store, _refuse)

    assert caught.value.next_step == "uaitrain base build own"


def test_a_layout_of_the_users_is_looked_into(store: Store, tmp_path: Path) -> None:
    Layout(tmp_path / "other").put(IMAGE, "x:1")
    base = resolve_base(LayoutReference(tmp_path / "other", "x:1"), store, _refuse)

    assert (base.digest, base.local, base.python) == (IMAGE.digest, True, "3.9")


def test_a_layout_without_the_image_names_what_it_has(store: Store, tmp_path: Path) -> None:
    Layout(tmp_path / "other").put(IMAGE, "x:1")
    with pytest.raises(BaseError, match="no image named 'y'") as caught:
        resolve_base(LayoutReference(tmp_path / "other", "y"), store, _refuse)

    assert caught.value.allowed == "x:1"


def test_a_base_for_another_platform_is_refused(store: Store, tmp_path: Path) -> None:
    arm = replace(IMAGE, config=CONFIG | {"architecture": "arm64"})
    Layout(tmp_path / "other").put(arm, "x")
    with pytest.raises(BaseError, match="is for linux/arm64") as caught:
        resolve_base(LayoutReference(tmp_path / "other", "x"), store, _refuse)

    assert caught.value.allowed == "linux/amd64"


def test_a_reference_is_pulled_from_its_registry(store: Store, registry: RunningRegistry) -> None:
    reference = Reference.parse(f"{registry.host}/bases/caffe:1")
    push_image(connect(registry.host), IMAGE, reference)
    base = resolve_base(reference, store, _pull)

    assert (base.digest, base.local, base.reference) == (IMAGE.digest, False, reference)
    assert (base.name, base.python) == (str(reference), "")


def test_a_catalogue_entry_tells_the_python_of_a_base_in_a_registry(
    store: Store, registry: RunningRegistry
) -> None:
    reference = Reference.parse(f"{registry.host}/bases/caffe:1")
    push_image(connect(registry.host), IMAGE, reference)
    entry = BaseEntry("vendor", CAFFE, "gpu", python="python-2.7.6", reference=reference)
    base = resolve_base(entry, store, _pull)

    assert (base.name, base.python, base.accelerator) == ("vendor", "2.7.6", "gpu")


def test_a_reference_that_does_not_exist_is_named(store: Store, registry: RunningRegistry) -> None:
    reference = Reference.parse(f"{registry.host}/bases/none:1")
    with pytest.raises(BaseError, match="bases/none:1 does not exist") as caught:
        resolve_base(reference, store, _pull)

    assert "uaitrain base list" in caught.value.next_step


def test_what_a_registry_gives_is_judged(store: Store) -> None:
    @dataclass(frozen=True)
    class Given:
        image: Image
        digest: Digest
        named: Digest

    nothing = Image((), CONFIG)
    with pytest.raises(RegistryError, match="has 0 layers"):
        resolve_base(
            Reference.parse("a.example/b:c"),
            store,
            lambda _: Given(nothing, nothing.digest, nothing.digest),
        )


def test_every_entry_of_the_catalogue_can_be_resolved(store: Store, tmp_path: Path) -> None:
    asked: list[str] = []

    @dataclass(frozen=True)
    class Given:
        image: Image = IMAGE
        digest: Digest = IMAGE.digest
        named: Digest = IMAGE.digest

    def pull(reference: Reference) -> Pulled:
        asked.append(reference.registry)
        return Given()

    for entry in catalogue.load(tmp_path / "none.toml"):
        if entry.recipe:
            store.put(IMAGE, entry.name)
        assert resolve_base(entry, store, pull).digest == IMAGE.digest
    assert asked == ["uhub.ucloud.cn"] * 2
