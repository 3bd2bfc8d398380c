"""The judge of images."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from support.tiny_image import layer_of
from uaitrain.errors import DigestError, RegistryError
from uaitrain.oci.descriptor import OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.validate import MAX_LAYERS, validate

CONFIG: Mapping[str, Any] = {"os": "linux", "architecture": "amd64"}
LAYER = layer_of({"file": b"bytes"})


def _layer(blob: bytes, tar: bytes, media_type: str = OCI_LAYER_GZIP) -> BlobLayer:
    descriptor = Descriptor(media_type, digest_of(blob), len(blob))
    return BlobLayer(digest_of(tar), descriptor, lambda: io.BytesIO(blob))


@pytest.mark.parametrize(
    "layer",
    [
        LAYER,
        layer_of({"file": b"bytes"}, gzip=False),
        _layer(gzip.compress(b"one ") + gzip.compress(b"two"), b"one two"),
    ],
    ids=["gzip", "plain", "gzip in two members"],
)
def test_a_good_image_passes(layer: BlobLayer) -> None:
    validate(Image((layer,), CONFIG), deep=True)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image((LAYER,), {}), "names no platform"),
        (Image((), CONFIG), "has 0 layers"),
        (Image((LAYER,) * (MAX_LAYERS + 1), CONFIG), "has 128 layers"),
        (Image((LAYER,), {**CONFIG, "history": [{}, {}]}), "tells of 2 layers, the image has 1"),
        (Image((LAYER,), {**CONFIG, "history": ["x"]}), "not a list of objects"),
        (Image((LAYER,), {**CONFIG, "config": []}), "settings are not an object"),
        (Image((LAYER,), {**CONFIG, "author": "x" * (5 << 20)}), "config is 5[0-9]+ bytes long"),
        (
            Image((LAYER, replace(LAYER, diff_id=digest_of(b""))), CONFIG),
            "two layers named sha256:.* differ",
        ),
    ],
)
def test_what_engines_refuse_is_refused(image: Image, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        validate(image)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (replace(LAYER, opener=lambda: io.BytesIO(b"short")), "has 5 bytes, expected"),
        (
            replace(LAYER, opener=lambda: io.BytesIO(bytes(LAYER.descriptor.size))),
            "the bytes have digest",
        ),
        (_layer(gzip.compress(b"this"), b"that"), "uncompressed: the bytes have digest"),
        (_layer(b"not gzip at all", b""), "cannot be uncompressed"),
        (_layer(gzip.compress(b"cut off")[:-4], b"cut off"), "ends before its end"),
    ],
)
def test_layers_of_other_bytes_are_found_only_by_a_deep_look(
    layer: BlobLayer, message: str
) -> None:
    image = Image((layer,), CONFIG)
    validate(image)
    with pytest.raises(DigestError, match=message):
        validate(image, deep=True)


def test_of_zstd_only_the_blob_is_judged() -> None:
    validate(Image((_layer(b"zstd", b"?", OCI_LAYER_ZSTD),), CONFIG), deep=True)
