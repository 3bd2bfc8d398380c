"""Images as ``inspect`` meets them: layers with modes, links, whiteouts; and packs of ours."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence

from uaitrain.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import History, Image
from uaitrain.oci.layer import BlobLayer, Layer


def member(name: str, data: bytes = b"", mode: int = 0o644, **facts: object) -> tarfile.TarInfo:
    """A regular file, or what ``type`` says."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def layer(
    files: Mapping[str, bytes], extra: Sequence[tarfile.TarInfo] = (), mode: int = 0o644
) -> BlobLayer:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in files.items():
            tar.addfile(member(name, data, mode), io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return raw_layer(raw.getvalue())


def raw_layer(plain: bytes) -> BlobLayer:
    blob = gzip.compress(plain, mtime=0)
    descriptor = Descriptor(OCI_LAYER_GZIP, digest_of(blob), len(blob))
    return BlobLayer(digest_of(plain), descriptor, lambda: io.BytesIO(blob))


def never(known: Layer) -> BlobLayer:
    """The same layer for somebody who must not open it."""

    def refuse() -> io.BytesIO:
        raise AssertionError(f"{known.diff_id} was opened")

    return BlobLayer(known.diff_id, known.descriptor, refuse)


def image(*layers: Layer, names: Sequence[str] = (), **config: object) -> Image:
    base = Image((), {"os": "linux", "architecture": "amd64", "config": dict(config)})
    made = names or [f"step {number}" for number in range(1, len(layers) + 1)]
    return base.append(layers, [History(name) for name in made])
