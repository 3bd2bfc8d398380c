"""An image into an OCI layout: a folder that may hold many, or a tar of one."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from uaitrain.atomic import storage_error
from uaitrain.oci.blob import CHUNK, Verifier
from uaitrain.oci.descriptor import OCI_INDEX, Descriptor
from uaitrain.oci.digest import Digest, hex_part
from uaitrain.oci.image import Image, canonical_json
from uaitrain.oci.layout import INDEX, MARKER, MARKER_BYTES, REFERENCE_NAME, Layout
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress, Task
from uaitrain.sinks import SinkReport


@dataclass(frozen=True)
class LayoutFolder:
    """Puts images into the layout in folder ``path``, named ``image:tag``."""

    path: Path

    def put(self, image: Image, reference: Reference, progress: Progress) -> SinkReport:
        began = time.monotonic()
        layout = Layout(self.path)
        lacking = {
            layer.descriptor.digest: layer.descriptor.size
            for layer in image.layers
            if not layout.has_blob(layer.descriptor.digest, layer.descriptor.size)
        }
        name = str(reference)
        layout.put(image, name, progress)
        sent = sum(layer.descriptor.digest in lacking for layer in image.layers)
        return SinkReport(
            f"oci:{self.path}:{name}",
            sent,
            len(image.layers) - sent,
            sum(lacking.values()),
            time.monotonic() - began,
        )


@dataclass(frozen=True)
class LayoutTar:
    """Writes one image as the tar ``path``, for ``podman load`` and ``skopeo``."""

    path: Path

    def put(self, image: Image, reference: Reference, progress: Progress) -> SinkReport:
        began = time.monotonic()
        sent = write_tar(image, str(reference), self.path, progress)
        seconds = time.monotonic() - began
        return SinkReport(f"oci-archive:{self.path}", len(image.layers), 0, sent, seconds)


def write_tar(image: Image, name: str, path: Path, progress: Progress) -> int:
    """Write ``image`` as an OCI layout in a tar, whole or not at all; the layers' bytes.

    The same image and name give the same bytes. Raises StorageError, DigestError.
    """
    entry = replace(image.descriptor, annotations={REFERENCE_NAME: name})
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json()]}
    layers = {layer.descriptor.digest: layer for layer in image.layers}
    with _appearing(path) as file:
        _add(file, MARKER, io.BytesIO(MARKER_BYTES), len(MARKER_BYTES))
        raw_index = canonical_json(index)
        _add(file, INDEX, io.BytesIO(raw_index), len(raw_index))
        for descriptor, data in (
            (image.config_descriptor, image.raw_config),
            (image.descriptor, image.raw_manifest),
        ):
            _add(file, _blob_name(descriptor.digest), io.BytesIO(data), len(data))
        for digest, layer in layers.items():
            task = progress.start(f"write {hex_part(digest)[:12]}", layer.descriptor.size)
            with layer.open() as source:
                _add_blob(file, layer.descriptor, source, task)
            task.done()
        file.write(bytes(2 * tarfile.BLOCKSIZE))
    return sum(layer.descriptor.size for layer in layers.values())


def _blob_name(digest: Digest) -> str:
    return f"blobs/sha256/{hex_part(digest)}"


def _header(file: BinaryIO, name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    file.write(info.tobuf(tarfile.PAX_FORMAT))


def _add(file: BinaryIO, name: str, source: BinaryIO, size: int) -> None:
    _header(file, name, size)
    while chunk := source.read(CHUNK):
        file.write(chunk)
    file.write(bytes(-size % tarfile.BLOCKSIZE))


def _add_blob(file: BinaryIO, blob: Descriptor, source: BinaryIO, task: Task) -> None:
    _header(file, _blob_name(blob.digest), blob.size)
    verifier = Verifier(file)
    while chunk := source.read(CHUNK):
        verifier.write(chunk)
        task.advance(len(chunk))
    verifier.check(blob, "image layer")
    file.write(bytes(-blob.size % tarfile.BLOCKSIZE))


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name only when everything is in it."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise storage_error(error, path) from None
    finally:
        with contextlib.suppress(OSError):
            if temporary:
                Path(temporary).unlink()
