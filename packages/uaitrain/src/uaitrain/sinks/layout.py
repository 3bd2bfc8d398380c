"""An image into an OCI layout: a folder that may hold many, or a tar of one."""

from __future__ import annotations

import time
from pathlib import Path

from uaitrain.atomic import appearing
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress
from uaitrain.sinks import SinkReport, archive
from uaitrain.values import dataclass


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
class ArchiveFile:
    """Writes one image as the tar ``path``, which Docker, Podman and skopeo load."""

    path: Path

    def put(self, image: Image, reference: Reference, progress: Progress) -> SinkReport:
        """The same image and name give the same bytes. Raises StorageError, DigestError."""
        began = time.monotonic()
        planned = archive.plan(image, str(reference), reused=0)
        task = progress.start(f"write {self.path.name}", planned.layer_bytes)
        with appearing(self.path) as file:
            archive.write(planned, file, task)
        task.done()
        seconds = time.monotonic() - began
        return SinkReport(str(self.path), len(image.layers), 0, planned.layer_bytes, seconds)
