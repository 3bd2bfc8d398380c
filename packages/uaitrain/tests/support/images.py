"""Small images and clients for the registry's tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from pathlib import Path
from typing import Any

from uaitrain.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import digest_of
from uaitrain.oci.image import Image
from uaitrain.oci.layer import BlobLayer
from uaitrain.oci.reference import Reference
from uaitrain.registry.auth import Authorizer
from uaitrain.registry.client import Registry
from uaitrain.registry.credentials import Credentials
from uaitrain.registry.transport import Retry, Transport
from uaitrain.secret import Secret

QUICK = Retry(attempts=4, first=0.01, longest=0.02, patience=1.0)


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 test data


def blob_layer(blob: bytes, diff_id: str = "") -> BlobLayer:
    descriptor = Descriptor(OCI_LAYER_GZIP, digest_of(blob), len(blob))
    return BlobLayer(
        digest_of(diff_id.encode()) if diff_id else digest_of(blob),
        descriptor,
        lambda: io.BytesIO(blob),
    )


def tar_layer(name: str, content: bytes) -> BlobLayer:
    """A true layer with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    blob = gzip.compress(buffer.getvalue(), mtime=0)
    return BlobLayer(
        digest_of(buffer.getvalue()),
        Descriptor(OCI_LAYER_GZIP, digest_of(blob), len(blob)),
        lambda: io.BytesIO(blob),
    )


def image(*layers: BlobLayer, architecture: str = "amd64", **config: Any) -> Image:
    return Image(
        layers or (tar_layer("data/a", b"a"), tar_layer("data/b", noise(50_000))),
        {"architecture": architecture, "os": "linux", "config": config},
    )


def client(
    host: str,
    username: str = "",
    password: str = "",
    *,
    identity_token: str = "",
    ca_file: Path | None = None,
    insecure: frozenset[str] = frozenset(),
    retry: Retry = QUICK,
    silence_seconds: float = 30.0,
    uploads: Path | None = None,
) -> Registry:
    """As ``uaitrain.registry.connect``, but impatient and with a fixed login."""
    transport = Transport(
        insecure=insecure, ca_file=ca_file, retry=retry, silence_seconds=silence_seconds
    )
    token = Secret(identity_token) if identity_token else None
    own = Credentials(username, Secret(password), token) if username or token else None
    return Registry(host, transport, Authorizer(transport, host, host, lambda: own), uploads)


def at(host: str, name: str = "team/mnist:v1") -> Reference:
    return Reference.parse(f"{host}/{name}")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
