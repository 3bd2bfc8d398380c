"""The one judge of images: what we build, read, pull and push all passes here."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from uaitrain.errors import DigestError, RegistryError
from uaitrain.oci.blob import CHUNK, Verifier
from uaitrain.oci.descriptor import MAX_MANIFEST_BYTES, OCI_LAYER_ZSTD
from uaitrain.oci.digest import verify
from uaitrain.oci.image import Image
from uaitrain.oci.layer import Layer

MAX_LAYERS = 127
"""The most that Docker's storage drivers stack (moby: layer/layer_store.go, maxLayerDepth 125;
overlay2 allows 128 lower folders, of which one is the container's own)."""

_WINDOW = 31
"""zlib's window bits for a gzip member of any window size."""


def validate(image: Image, *, deep: bool = False) -> None:
    """Raises RegistryError for an image that engines or registries would refuse.

    ``deep`` also reads every layer: its size, its digest and, where its compression can be read
    here (none or gzip), its diff_id; DigestError says which bytes are wrong.
    """
    for check in _SHALLOW:
        check(image)
    if deep:
        for layer in image.layers:
            _read_through(layer)


def _has_platform(image: Image) -> None:
    if not image.platform.os or not image.platform.architecture:
        raise RegistryError(
            f"the image config names no platform: {str(image.platform)!r}",
            allowed="os and architecture, such as linux and amd64",
        )


def _stacks(image: Image) -> None:
    if not 1 <= len(image.layers) <= MAX_LAYERS:
        raise RegistryError(
            f"the image has {len(image.layers)} layers", allowed=f"from 1 to {MAX_LAYERS}"
        )


def _history_fits(image: Image) -> None:
    history = image.config.get("history")
    if not history:
        return
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise RegistryError("the image config's history is not a list of objects")
    told = sum(not entry.get("empty_layer") for entry in history)
    if told != len(image.layers):
        raise RegistryError(
            f"the image config's history tells of {told} layers, the image has {len(image.layers)}"
        )


def _one_name_one_blob(image: Image) -> None:
    """Two layers with one digest must agree in everything, or somebody made a number up."""
    seen: dict[str, tuple[int, str]] = {}
    for layer in image.layers:
        facts = (layer.descriptor.size, layer.diff_id)
        if seen.setdefault(layer.descriptor.digest, facts) != facts:
            raise RegistryError(f"two layers named {layer.descriptor.digest} differ in size")


def _config_is_an_object(image: Image) -> None:
    inner = image.config.get("config")
    if inner is not None and not isinstance(inner, dict):
        raise RegistryError(f"the image config's settings are not an object: {str(inner)[:60]!r}")


def _fits_registries(image: Image) -> None:
    for what, data in (("manifest", image.raw_manifest), ("config", image.raw_config)):
        if len(data) > MAX_MANIFEST_BYTES:
            raise RegistryError(
                f"the image's {what} is {len(data)} bytes long",
                allowed=f"at most {MAX_MANIFEST_BYTES}, as registries take no more",
            )


_SHALLOW: tuple[Callable[[Image], None], ...] = (
    _config_is_an_object,
    _has_platform,
    _stacks,
    _history_fits,
    _one_name_one_blob,
    _fits_registries,
)


def _read_through(layer: Layer) -> None:
    blob, tar = Verifier(), Verifier()
    what = f"layer {layer.descriptor.digest}"
    expand = _expander(layer.descriptor.media_type, tar)
    broken = ""
    with layer.open() as source:
        while chunk := source.read(CHUNK):
            blob.write(chunk)
            if expand and not broken:
                try:
                    expand.feed(chunk)
                except zlib.error as error:
                    broken = str(error)
    # Wrong bytes are told as such, not as what they do to a decompressor.
    blob.check(layer.descriptor, what)
    if not expand:
        return
    if broken or not expand.complete:
        raise DigestError(f"{what} cannot be uncompressed: {broken or 'it ends before its end'}")
    verify(layer.diff_id, tar.digest, f"{what}, uncompressed")


class _Plain:
    complete = True

    def __init__(self, tar: Verifier) -> None:
        self._tar = tar

    def feed(self, chunk: bytes) -> None:
        self._tar.write(chunk)


class _Gzip:
    """Any number of gzip members, one after the other (RFC 1952, 2.2)."""

    def __init__(self, tar: Verifier) -> None:
        self._tar = tar
        self._member = zlib.decompressobj(_WINDOW)

    @property
    def complete(self) -> bool:
        return self._member.eof

    def feed(self, chunk: bytes) -> None:
        while chunk:
            if self._member.eof:
                self._member = zlib.decompressobj(_WINDOW)
            # Never more at once than a chunk: a bomb unpacks to a thousand times its size.
            self._tar.write(self._member.decompress(chunk, CHUNK))
            chunk = self._member.unconsumed_tail or self._member.unused_data


def _expander(media_type: str, tar: Verifier) -> _Plain | _Gzip | None:
    """None for a compression that cannot be read here."""
    if media_type == OCI_LAYER_ZSTD:
        return None
    return _Gzip(tar) if media_type.endswith("gzip") else _Plain(tar)
