"""From a word on the command line to an image that can be looked into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from uaitrain import engines
from uaitrain.access import Registries
from uaitrain.bases.catalogue import LayoutReference
from uaitrain.errors import RegistryError, UaitrainError
from uaitrain.inspection.target import InArchive, InEngine, InRegistry, Target
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.values import dataclass


@dataclass(frozen=True)
class Found:
    """An image, its digest and the place where it lies.

    The digest is the manifest's; of an engine's and an archive's, which need not have one, it is
    the config's. ``attached`` are the descriptors of what lies beside it in its registry, and
    ``unheard`` says why they are not known.
    """

    name: str
    image: Image
    digest: Digest
    place: str
    attached: tuple[dict[str, Any], ...] = ()
    unheard: str = ""


@contextmanager
def opened(target: Target, registries: Registries, engine: str | None) -> Iterator[Found]:
    """Of what lies in a registry, manifest and config are read; layers only by who opens them.

    ``engine`` names one, else the first that works is asked. Raises UaitrainError.
    """
    if isinstance(target, InRegistry):
        yield _pulled(target, registries)
    elif isinstance(target, LayoutReference):
        layout = Layout(target.path)
        descriptor = layout.descriptor(target.name)
        image = _judged(layout.image(target.name))
        yield Found(str(target), image, descriptor.digest, f"OCI layout {target.path}")
    elif isinstance(target, InArchive):
        from uaitrain.inspection.archive import read_archive

        image, digest = read_archive(target.path)
        yield Found(target.path.name, _judged(image), digest, f"archive {target.path}")
    else:
        yield from _of_engine(target, engine)


def _of_engine(target: InEngine, name: str | None) -> Iterator[Found]:
    from uaitrain.inspection.engine_image import EngineImage

    engine = engines.require_engine(name) if name else engines.find_engine()
    if engine is None:
        raise engines_missing(target)
    found = EngineImage(engine, target.reference)
    try:
        image = _judged(found.image)
        yield Found(str(target.reference), image, found.digest, f"{engine.program} here")
    finally:
        found.close()


def engines_missing(target: InEngine) -> UaitrainError:
    from uaitrain.errors import EngineError

    return EngineError(
        f"{target.reference} names no registry's host, so it is meant to be in Docker or Podman, "
        "and neither works here",
        next_step="name the host (docker.io/library/NAME for Docker Hub), or see uaitrain doctor",
    )


def _pulled(target: InRegistry, registries: Registries) -> Found:
    from uaitrain.registry.pull import pull_image
    from uaitrain.registry.referrers import referrers

    reference = target.reference
    registry = registries.connect(reference.registry, reference.repository)
    pulled = pull_image(registry, reference, Platform())
    attached: tuple[dict[str, Any], ...] = ()
    unheard = ""
    try:
        attached = tuple(referrers(registry, reference.repository, pulled.digest))
    except RegistryError as error:
        unheard = error.what
    where = f"registry {reference.registry}"
    return Found(str(reference), _judged(pulled.image), pulled.digest, where, attached, unheard)


def _judged(image: Image) -> Image:
    """Only what everything here relies on: a foreign image may well be odd otherwise."""
    inner = image.config.get("config")
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    if not isinstance(inner, dict | None) or not isinstance(labels, dict | None):
        raise RegistryError("the image config's settings or labels are not an object")
    return image
