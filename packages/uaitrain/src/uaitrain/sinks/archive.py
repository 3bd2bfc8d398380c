"""An image as one tar stream that every engine loads.

It holds both descriptions of an image: ``manifest.json`` (docker-archive, which Docker before
the containerd image store reads) and ``index.json`` with ``oci-layout`` (OCI image layout, which
Podman and later Dockers read); both name the same blobs, as in what ``docker save`` of Docker 25
and later writes.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from typing import IO, BinaryIO

from uaitrain.errors import DigestError
from uaitrain.oci.descriptor import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor
from uaitrain.oci.digest import Digest, digest_of, hex_part, verify
from uaitrain.oci.image import Image, canonical_json
from uaitrain.oci.layer import Layer
from uaitrain.progress import Task
from uaitrain.values import dataclass, replace

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Archive:
    """What the stream will hold: small documents by name, then the layers, in this order."""

    documents: Mapping[str, bytes]
    layers: tuple[Layer, ...]

    @property
    def layer_bytes(self) -> int:
        return sum(layer.descriptor.size for layer in self.layers)


def plan(image: Image, name: str, reused: int) -> Archive:
    """The archive of ``image`` without its ``reused`` lowest layers, which the engine has.

    ``name`` is the full one, host and all, by which the engine will know the image.
    """
    config = image.raw_config
    manifest = _manifest(image, reused)
    described = Descriptor(
        OCI_MANIFEST,
        digest_of(manifest),
        len(manifest),
        {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name,
        },
        image.platform,
    )
    docker_manifest = [
        {
            "Config": _path(image.config_descriptor.digest),
            "RepoTags": [name],
            "Layers": [_path(layer.descriptor.digest) for layer in image.layers],
        }
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described.to_json()]}
    documents = {
        "oci-layout": canonical_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": canonical_json(index),
        "manifest.json": canonical_json(docker_manifest),
        _path(described.digest): manifest,
        _path(image.config_descriptor.digest): config,
    }
    # The same layer may lie in an image twice; its blob need not.
    once = {layer.descriptor.digest: layer for layer in image.layers[reused:]}
    return Archive(documents, tuple(once.values()))


def _manifest(image: Image, reused: int) -> bytes:
    if not reused:
        return image.with_media_type(OCI_MANIFEST).raw_manifest
    # Podman finds a layer it has by the digest of its uncompressed tar; how its blob was
    # compressed elsewhere it need not know.
    base = tuple(_Present(layer) for layer in image.layers[:reused])
    layers = (*base, *image.layers[reused:])
    return replace(image, layers=layers).with_media_type(OCI_MANIFEST).raw_manifest


@dataclass(frozen=True)
class _Present:
    """A layer that the engine has and nobody opens."""

    layer: Layer

    @property
    def diff_id(self) -> Digest:
        return self.layer.diff_id

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(OCI_LAYER, self.layer.diff_id, self.layer.descriptor.size)

    def open(self) -> BinaryIO:
        return self.layer.open()


def write(archive: Archive, out: IO[bytes], task: Task) -> None:
    """Stream ``archive``; ``task`` advances by the layers' bytes.

    Raises OSError when ``out`` fails, UaitrainError when a layer cannot be read or is not what
    its digest says; the stream is then cut off and no engine loads anything of it.
    """
    for name, data in archive.documents.items():
        out.write(_header(name, len(data)))
        out.write(data)
        out.write(_padding(len(data)))
    for layer in archive.layers:
        descriptor = layer.descriptor
        out.write(_header(_path(descriptor.digest), descriptor.size))
        with layer.open() as blob:
            for chunk in _verified(blob, descriptor):
                out.write(chunk)
                task.advance(len(chunk))
        out.write(_padding(descriptor.size))
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _verified(blob: BinaryIO, descriptor: Descriptor) -> Iterator[bytes]:
    seen = hashlib.sha256()
    left = descriptor.size
    while left:
        chunk = blob.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise DigestError(
                f"image layer {descriptor.digest}: {left} of {descriptor.size} bytes are missing",
                next_step="try again",
            )
        left -= len(chunk)
        seen.update(chunk)
        yield chunk
    verify(descriptor.digest, Digest("sha256:" + seen.hexdigest()), "image layer")


def _path(digest: Digest) -> str:
    return f"blobs/sha256/{hex_part(digest)}"


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
