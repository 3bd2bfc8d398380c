"""A registry's image as a value: its manifest and config are read, its layers stay there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from uaitrain import atomic
from uaitrain.errors import BaseError, StorageError
from uaitrain.oci.descriptor import MANIFEST_TYPES, Descriptor, Platform
from uaitrain.oci.digest import Digest, digest_of, hex_part
from uaitrain.oci.image import Image, Manifest, parse_config, parse_index, parse_manifest
from uaitrain.oci.reference import Reference
from uaitrain.registry.client import FetchedManifest, Registry
from uaitrain.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


@dataclass(frozen=True)
class RegistryLayer:
    """A layer that lies in a registry; ``registry`` and ``repository`` let a push mount it."""

    diff_id: Digest
    descriptor: Descriptor
    registry: Registry = field(repr=False, compare=False)
    repository: str

    def open(self) -> BinaryIO:
        return self.registry.open_blob(self.repository, self.descriptor)


@dataclass(frozen=True)
class PulledImage:
    """``digest`` is that of the image's own manifest, as the registry has it; ``named`` is what
    the reference names: the same, or an index that leads to it.
    """

    image: Image
    reference: Reference
    digest: Digest
    named: Digest

    @property
    def pinned(self) -> Reference:
        """The reference with the digest it meant when it was pulled."""
        return self.reference.with_digest(self.digest)


def pull_image(
    registry: Registry, reference: Reference, platform: Platform, kept: Path | None = None
) -> PulledImage:
    """The image for ``platform`` behind ``reference``, whether an index or a single manifest.

    Configs that were read before are taken from the folder ``kept``. Raises NotFoundError (no such
    image), BaseError (not for this platform), DigestError.
    """
    repository = reference.repository
    fetched = registry.get_manifest(repository, reference.identifier)
    if fetched.is_index:
        return _from_index(registry, reference, platform, fetched, kept)
    image = _image(registry, repository, fetched, kept)
    if not image.platform.matches(platform):
        raise _not_for(reference, platform, [image.platform])
    return PulledImage(image, reference, fetched.digest, fetched.digest)


def _from_index(
    registry: Registry,
    reference: Reference,
    platform: Platform,
    index: FetchedManifest,
    kept: Path | None,
) -> PulledImage:
    entries = [e for e in parse_index(index.raw) if e.media_type in MANIFEST_TYPES]
    named = [e for e in entries if e.platform and e.platform.matches(platform)]
    there = [e.platform for e in entries if e.platform]
    # An entry may leave its platform to its config (image-spec, image-index.md).
    for entry in named or [e for e in entries if e.platform is None]:
        fetched = registry.get_manifest(reference.repository, entry.digest)
        image = _image(registry, reference.repository, fetched, kept)
        if image.platform.matches(platform):
            return PulledImage(image, reference, fetched.digest, index.digest)
        there.append(image.platform)
    raise _not_for(reference, platform, there)


def _image(
    registry: Registry, repository: str, fetched: FetchedManifest, kept: Path | None
) -> Image:
    manifest: Manifest = parse_manifest(fetched.raw, fetched.media_type)
    raw_config = _read_config(registry, repository, manifest.config, kept)
    config, diff_ids = parse_config(raw_config, len(manifest.layers))
    layers = tuple(
        RegistryLayer(diff_id, descriptor, registry, repository)
        for diff_id, descriptor in zip(diff_ids, manifest.layers, strict=True)
    )
    return Image(layers, config, manifest.annotations, manifest.media_type)


def _read_config(
    registry: Registry, repository: str, config: Descriptor, kept: Path | None
) -> bytes:
    if kept is None:
        return registry.read_blob(repository, config)
    path = kept / hex_part(config.digest)
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        # Its name is its digest: what is damaged is asked for again.
        if digest_of(data) == config.digest:
            return data
    data = registry.read_blob(repository, config)
    with contextlib.suppress(OSError, StorageError):
        kept.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(path, data, durable=False)
    return data


def _not_for(reference: Reference, platform: Platform, there: list[Platform]) -> BaseError:
    known = sorted({str(p) for p in there if "unknown" not in str(p)})
    return BaseError(
        f"{reference} has no image for {platform}",
        allowed=f"what it has: {', '.join(known) or 'nothing that names a platform'}",
        next_step="choose an image that is built for this platform",
    )
