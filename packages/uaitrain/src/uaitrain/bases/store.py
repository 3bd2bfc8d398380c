"""Where built base images lie on this machine: one OCI layout in the cache."""

from __future__ import annotations

from pathlib import Path

from uaitrain.bases import labels
from uaitrain.bases.catalogue import BUILD_COMMAND
from uaitrain.errors import BaseError, NotFoundError
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.validate import validate
from uaitrain.paths import cache_dir
from uaitrain.progress import Progress, Silent
from uaitrain.values import dataclass


@dataclass(frozen=True)
class StoredBase:
    """A base on this machine; ``size`` is what its blobs take, in bytes."""

    name: str
    digest: Digest
    size: int
    created: str
    python: str


@dataclass(frozen=True)
class Store:
    """The bases in ``layout``."""

    layout: Layout

    @staticmethod
    def default() -> Store:
        return Store(Layout(default_path()))

    def list(self) -> tuple[StoredBase, ...]:
        return tuple(self._describe(name) for name in self.layout.names())

    def has(self, name: str) -> bool:
        return name in self.layout.names()

    def image(self, name: str) -> Image:
        """Raises BaseError, with the command that builds it, for a base that is not here."""
        try:
            return self.layout.image(name)
        except NotFoundError:
            raise BaseError(
                f"base {name} is not on this machine",
                next_step=f"{BUILD_COMMAND} {name}",
            ) from None

    def digest(self, name: str) -> Digest:
        return self.layout.descriptor(name).digest

    def put(self, image: Image, name: str, progress: Progress | None = None) -> None:
        """Raises RegistryError for an image that is not fit to be a base."""
        validate(image)
        self.layout.put(image, name, progress or Silent())

    def remove(self, name: str) -> None:
        """Raises BaseError for a base that is not here."""
        self.image(name)
        self.layout.remove(name)

    def _describe(self, name: str) -> StoredBase:
        image = self.layout.image(name)
        size = sum(layer.descriptor.size for layer in image.layers)
        return StoredBase(
            name,
            self.digest(name),
            size + len(image.raw_config) + len(image.raw_manifest),
            str(image.config.get("created", "")),
            image.labels.get(labels.PYTHON, ""),
        )


def default_path() -> Path:
    return cache_dir() / "bases"
