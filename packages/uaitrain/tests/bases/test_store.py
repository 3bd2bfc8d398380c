"""The bases on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_image import layer_of
from uaitrain.bases import labels
from uaitrain.bases.store import Store
from uaitrain.errors import BaseError, RegistryError
from uaitrain.oci.image import Image
from uaitrain.paths import cache_dir

IMAGE = Image((layer_of({"file": b"x"}),), {"os": "linux", "architecture": "amd64"}).configure(
    created="2026-01-01T00:00:00Z", labels={labels.PYTHON: "3.9.2"}
)


def test_a_new_machine_has_no_bases() -> None:
    assert Store.default().list() == ()


def test_a_base_is_listed_with_what_it_takes() -> None:
    store = Store.default()
    store.put(IMAGE, "own")
    (base,) = store.list()

    assert (base.name, base.digest, base.python) == ("own", IMAGE.digest, "3.9.2")
    assert base.created == "2026-01-01T00:00:00Z"
    assert base.size == sum(p.stat().st_size for p in _blobs())


def _blobs() -> list[Path]:
    return list((cache_dir() / "bases" / "blobs" / "sha256").iterdir())


def test_a_removed_base_takes_no_room() -> None:
    store = Store.default()
    store.put(IMAGE, "own")
    store.remove("own")

    assert (store.list(), _blobs()) == ((), [])


def test_a_base_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(BaseError, match="base own is not on this machine"):
        Store.default().remove("own")


def test_what_is_no_image_is_not_stored() -> None:
    with pytest.raises(RegistryError, match="has 0 layers"):
        Store.default().put(Image((), {"os": "linux", "architecture": "amd64"}), "own")
