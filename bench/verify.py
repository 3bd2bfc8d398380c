"""Whether a registry really has the work that a tool says it pushed."""

from __future__ import annotations

import tarfile
import zlib
from io import BufferedReader
from typing import IO

from isal import igzip
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.image import Image
from uaitrain.oci.layer import Layer
from uaitrain.oci.reference import Reference
from uaitrain.registry import connect
from uaitrain.registry.pull import pull_image
from works import Work

Facts = dict[str, tuple[int, int]]
"""Size and CRC-32 by path."""

_ROOT = "data/"
_NOT_OF_THE_WORK = frozenset({".keep", "Dockerfile.torchx"})
"""What the base brings, and what TorchX adds."""


def check(target: str, work: Work, base: Image | None = None) -> None:
    """Raises AssertionError where the image's ``/data`` is not exactly the work's folder.

    ``base`` is compared by its layers' digests instead of being read: it brings no ``/data``.
    """
    reference = Reference.parse(target)
    registry = connect(reference.registry)
    image = pull_image(registry, reference, Platform()).image
    found: Facts = {}
    below = len(base.layers) if base else 0
    if base:
        assert image.diff_ids[:below] == base.diff_ids, f"{target} has another base"
    for layer in image.layers[below:]:
        found |= _of_layer(layer)
    wanted = _of_folder(work)
    different = {path for path in found.keys() | wanted if found.get(path) != wanted.get(path)}
    different -= _NOT_OF_THE_WORK
    assert not different, f"{target} differs from {work.name}: {sorted(different)[:5]}"


def digest(target: str) -> str:
    """What the tag names now."""
    reference = Reference.parse(target)
    registry = connect(reference.registry)
    return registry.get_manifest(reference.repository, reference.identifier).digest


def _of_folder(work: Work) -> Facts:
    facts: Facts = {}
    for path, size in work.files().items():
        with (work.code / path).open("rb") as file:
            facts[path] = (size, _crc(file))
    return facts


def _of_layer(layer: Layer) -> Facts:
    facts: Facts = {}
    with layer.open() as blob:
        packed = layer.descriptor.media_type.endswith("gzip")
        plain = BufferedReader(igzip.IGzipFile(fileobj=blob)) if packed else blob  # type: ignore[no-untyped-call] # isal has no hints
        with tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                name = member.name.removeprefix("./")
                if content and name.startswith(_ROOT):
                    facts[name.removeprefix(_ROOT)] = (member.size, _crc(content))
    return facts


def _crc(file: IO[bytes]) -> int:
    value = 0
    while chunk := file.read(1 << 20):
        value = zlib.crc32(chunk, value)
    return value
