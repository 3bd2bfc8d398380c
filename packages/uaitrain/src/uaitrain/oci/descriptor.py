"""Descriptors, platforms and media types (OCI image-spec; Docker distribution schema 2)."""

from __future__ import annotations

from collections.abc import Mapping

from uaitrain.errors import RegistryError, UsageError
from uaitrain.oci.digest import Digest, parse_digest
from uaitrain.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
TO_DOCKER = {
    OCI_MANIFEST: DOCKER_MANIFEST,
    OCI_CONFIG: DOCKER_CONFIG,
    OCI_LAYER: DOCKER_LAYER,
    OCI_LAYER_GZIP: DOCKER_LAYER_GZIP,
}
TO_OCI = {docker: oci for oci, docker in TO_DOCKER.items()}

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""The size that registries must accept (OCI distribution-spec) and the most that we read."""


@dataclass(frozen=True)
class Platform:
    """Where an image runs, in Go's names (image-spec, image-index.md)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def matches(self, wanted: Platform) -> bool:
        return (self.os, self.architecture) == (wanted.os, wanted.architecture) and (
            not wanted.variant or not self.variant or self.variant == wanted.variant
        )


@dataclass(frozen=True)
class Descriptor:
    """Names a blob: its type, the digest of its bytes and its size in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None

    @staticmethod
    def from_json(value: object) -> Descriptor:
        """Raises RegistryError for anything that is not a descriptor."""
        if not isinstance(value, dict):
            raise RegistryError(f"not a descriptor: {str(value)[:100]!r}")
        media_type, size = value.get("mediaType"), value.get("size")
        if not isinstance(media_type, str) or type(size) is not int or size < 0:
            raise RegistryError(f"not a descriptor: {str(value)[:100]!r}")
        try:
            digest = parse_digest(value.get("digest"))
        except UsageError as error:
            raise RegistryError(f"a descriptor is broken: {error.what}") from None
        annotations = value.get("annotations") or {}
        platform = value.get("platform")
        return Descriptor(
            media_type,
            digest,
            size,
            {str(k): str(v) for k, v in annotations.items()}
            if isinstance(annotations, dict)
            else {},
            Platform(
                str(platform.get("os", "")),
                str(platform.get("architecture", "")),
                str(platform.get("variant", "")),
            )
            if isinstance(platform, dict)
            else None,
        )

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform:
            value["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                value["platform"]["variant"] = self.platform.variant
        return value
