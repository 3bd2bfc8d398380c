"""The real Caffe base image, built once and kept for later runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from uaitrain.bases import catalogue, mmdebstrap, recipe
from uaitrain.bases.build import build
from uaitrain.bases.store import Store
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout

CAFFE_BASE = "caffe-1.0.0-debian11-cpu"
TORCH_BASE = "caffe-torch-debian12-cpu"
REPOSITORY = Path(__file__).resolve().parents[4]


@dataclass(frozen=True)
class BuiltBase:
    """A base in an OCI layout; ``cache`` is the UAITRAIN_CACHE under which uaitrain finds it."""

    name: str
    cache: Path
    layout: Layout
    image: Image

    @property
    def oci(self) -> str:
        """The form that ``--base-cpu`` takes."""
        return f"oci:{self.layout.path}:{self.name}"


def kept_cache() -> Path:
    """UAITRAIN_TEST_CACHE, else ``.state/test-cache`` of the repository."""
    given = os.environ.get("UAITRAIN_TEST_CACHE")
    return Path(given) if given else REPOSITORY / ".state" / "test-cache"


def _built(name: str) -> BuiltBase:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UAITRAIN_CACHE", str(kept_cache()))
        store = Store.default()
        entry = catalogue.by_name(catalogue.load(Path("/nonexistent")), name)
        built = build(recipe.load(entry.recipe, name), mmdebstrap.find_builder(), store)
    return BuiltBase(name, kept_cache(), store.layout, built.image)


@pytest.fixture(scope="session")
def caffe_base() -> BuiltBase:
    """Real BVLC Caffe 1.0.0 on Debian 11: the first run builds it, which takes a minute."""
    return _built(CAFFE_BASE)


@pytest.fixture(scope="session")
def torch_base() -> BuiltBase:
    """Our engine, as it is in this repository, on PyTorch's CPU build and Debian 12.

    The first run builds the base, which takes a minute; later ones renew the engine's layer.
    """
    return _built(TORCH_BASE)
