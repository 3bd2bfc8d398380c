"""The packed image of a job, by its digest: where a backend will take it from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uaitrain.access import Registries
from uaitrain.bases import mover_file
from uaitrain.errors import NotFoundError, StorageError, UsageError
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.reference import Reference
from uaitrain.spec import CPU, TrainSpec


@dataclass(frozen=True)
class PackedImage:
    """``name`` is the image's, ``reference`` what the backend is told, ``digest`` names the
    content: of the manifest, or the engine's own id for an image that only an engine has."""

    name: str
    reference: str
    digest: str


_Found = tuple[PackedImage, Callable[[], Sequence[str]]]
"""An image, and how to learn what its image layers were made by."""


def find(
    spec: TrainSpec,
    accelerator: str,
    backend: str,
    options: Mapping[str, Any],
    registries: Registries,
) -> PackedImage:
    """Asks the engine (``local``), the layout (``slurm.layout``) or the registry.

    Raises UsageError for a job that was never packed or pushed there, or without the mover that
    its places need, and what each of the three raises when it cannot be asked.
    """
    if backend == "local":
        found, history = _in_engine(_here(spec, accelerator), options["local.engine"])
    elif layout := options.get("slurm.layout"):
        found, history = _in_layout(_here(spec, accelerator), Path(layout).expanduser())
    else:
        found, history = _in_registry(spec, accelerator, registries)
    # The platform brings data by itself; there a URI is its own.
    if backend != "uai" and mover_file.is_needed(spec.ship) and not mover_file.is_noted(history()):
        raise UsageError(
            f"the image {found.name} cannot reach s3:// and other URIs: it was packed without "
            "run.data or run.output being one",
            next_step="write them into the table [run] of uaitrain.toml and pack again, or "
            "submit --pack",
        )
    return found


def _here(spec: TrainSpec, accelerator: str) -> Reference:
    return spec.target.cpu if accelerator == CPU else spec.target.gpu


def _in_engine(reference: Reference, program: str) -> _Found:
    from uaitrain.engines import require_engine, store

    engine = require_engine(program or None)
    stored = store.find(engine, reference)
    if stored is None:
        raise UsageError(
            f"{engine.program} has no image {reference}",
            next_step="uaitrain pack, which builds it and loads it, or submit --pack",
        )
    # The engine may get another image of this name while the run is started again and again.
    found = PackedImage(str(reference), stored.identifier, f"sha256:{stored.identifier}")
    words = ("history", "--no-trunc", "--format", "{{.CreatedBy}}", stored.identifier)
    return found, lambda: engine.answer(*words).splitlines()


def _in_layout(reference: Reference, path: Path) -> _Found:
    from uaitrain.oci.layout import Layout

    try:
        layout = Layout(path)
        digest = layout.descriptor(str(reference)).digest
    except (NotFoundError, StorageError) as error:
        raise UsageError(
            f"{path} has no image {reference}: {error.what}",
            next_step=f"uaitrain pack --layout {path}, or submit --pack",
        ) from None
    found = PackedImage(str(reference), str(reference.with_digest(digest)), digest)
    return found, lambda: mover_file.history_of(layout.image(str(reference)))


def _in_registry(spec: TrainSpec, accelerator: str, registries: Registries) -> _Found:
    target = spec.target.gpu
    if not target.registry:
        raise UsageError(
            f"the image {target} names no registry, from which a cluster could take it",
            allowed="host/registry/name:tag",
            next_step="give --image host/registry/name:tag and pack --push",
        )
    if accelerator == CPU:
        target = Reference(target.registry, f"{target.repository}-cpu", target.tag)
    from uaitrain.registry.pull import pull_image

    connection = registries.connect(target.registry, target.repository)
    digest = connection.head_manifest(target.repository, target.tag)
    if digest is None:
        # Missing, or a registry that tells no digest.
        with contextlib.suppress(NotFoundError):
            digest = connection.get_manifest(target.repository, target.tag).digest
    if digest is None and accelerator == CPU:
        raise UsageError(
            f"there is no CPU image {target}: pack --push pushes the GPU image",
            next_step=f"docker tag {spec.target.cpu} {target} && docker push {target}",
        )
    if digest is None:
        raise UsageError(
            f"there is no image {target}: it was never pushed",
            next_step="uaitrain pack --push, or submit --pack",
        )
    found = PackedImage(str(target), str(target.with_digest(digest)), digest)
    return found, lambda: mover_file.history_of(
        pull_image(connection, target.with_digest(digest), Platform()).image
    )
