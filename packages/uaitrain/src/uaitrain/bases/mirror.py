"""A base copied into a registry of the user's, byte for byte, so that it keeps its digest."""

from __future__ import annotations

from functools import partial

from uaitrain.bases.lock import LockedBase
from uaitrain.errors import BaseError
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest, digest_of, hex_part, verify
from uaitrain.oci.image import Image, parse_config, parse_manifest
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress
from uaitrain.registry.client import Registry
from uaitrain.registry.pull import RegistryLayer
from uaitrain.registry.push import PushReport, push_image
from uaitrain.values import dataclass, replace

_TAG_DIGITS = 12


@dataclass(frozen=True)
class Verbatim(Image):
    """An image whose documents are somebody else's bytes: ours would have another digest."""

    config_bytes: bytes = b""
    manifest_bytes: bytes = b""

    @property
    def raw_config(self) -> bytes:
        return self.config_bytes

    @property
    def raw_manifest(self) -> bytes:
        return self.manifest_bytes


def in_registry(registry: Registry, repository: str, digest: Digest) -> Verbatim:
    """Manifest and config are read, the layers stay there. Raises RegistryError."""
    fetched = registry.get_manifest(repository, digest)
    manifest = parse_manifest(fetched.raw, fetched.media_type)
    config_bytes = registry.read_blob(repository, manifest.config)
    config, diff_ids = parse_config(config_bytes, len(manifest.layers))
    layers = tuple(
        RegistryLayer(diff_id, blob, registry, repository)
        for diff_id, blob in zip(diff_ids, manifest.layers, strict=True)
    )
    return Verbatim(
        layers, config, manifest.annotations, manifest.media_type, config_bytes, fetched.raw
    )


def in_layout(layout: Layout, name: str) -> Verbatim:
    """Raises NotFoundError, StorageError, RegistryError, DigestError."""
    image = layout.image(name)
    raw = _document(layout, layout.descriptor(name))
    manifest = parse_manifest(raw, image.media_type)
    layers = tuple(
        BlobLayer(
            layer.diff_id, layer.descriptor, partial(layout.open_blob, layer.descriptor.digest)
        )
        for layer in image.layers
    )
    config = _document(layout, manifest.config)
    return Verbatim(layers, image.config, image.annotations, image.media_type, config, raw)


def _document(layout: Layout, blob: Descriptor) -> bytes:
    with layout.open_blob(blob.digest) as file:
        data = file.read(blob.size + 1)
    verify(blob.digest, digest_of(data), str(layout.path))
    return data


def mirror_of(base: LockedBase, host: str, repository: str) -> Reference:
    """Where the copy of ``base`` lies. It has a tag because registries may delete what has none."""
    return Reference(host, repository, f"base-{hex_part(base.digest)[:_TAG_DIGITS]}", base.digest)


def copy(
    image: Verbatim, base: LockedBase, registry: Registry, target: Reference, progress: Progress
) -> PushReport:
    """Only missing blobs go over the wire; from a repository of the same registry they are
    mounted. Raises BaseError where ``image`` is not ``base``, and what the push raises."""
    if image.digest != base.digest:
        raise BaseError(
            f"the base {base.name} is {image.digest} now, not the locked {base.digest}",
            next_step="uaitrain base lock --upgrade",
        )
    return push_image(registry, image, replace(target, digest=None), progress=progress)
