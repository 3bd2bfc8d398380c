"""Where the image of a job is read from: an OCI layout, or the registry that its name tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from uaitrain.errors import DigestError, UsageError
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference


def find(reference: Reference, layout: Path | None) -> Image:
    """The image that ``reference`` names by its digest. Raises what registries and layouts do."""
    if layout is not None:
        return _in_layout(reference, layout)
    if not reference.registry:
        raise UsageError(
            f"the image {reference} lies in no registry",
            next_step="give --slurm-layout with the folder of uaitrain pack --layout, or push it",
        )
    from uaitrain import registry
    from uaitrain.registry.pull import pull_image

    there = registry.connect(reference.registry, target=True, repository=reference.repository)
    return pull_image(there, reference, Platform()).image


def _in_layout(reference: Reference, path: Path) -> Image:
    from uaitrain.oci.layout import Layout

    layout, name = Layout(path), str(replace(reference, digest=None))
    found = layout.descriptor(name).digest
    if found != reference.digest:
        raise DigestError(
            f"{path} has another image {name}: {found}, expected {reference.digest}",
            next_step="pack again, so that the job and the layout mean the same image",
        )
    return layout.image(name)
