"""From what was chosen to a base image: the store, a layout here, or a registry."""

from __future__ import annotations

from collections.abc import Callable

from uaitrain.bases import labels
from uaitrain.bases.catalogue import OCI_PREFIX, BaseEntry, Chosen, LayoutReference
from uaitrain.bases.probe import python_of
from uaitrain.bases.store import Store
from uaitrain.errors import BaseError, NotFoundError
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.oci.validate import validate
from uaitrain.typed import Protocol
from uaitrain.values import dataclass


class Pulled(Protocol):
    """What a puller gives: an image and the digest its registry has for it."""

    @property
    def image(self) -> Image: ...

    @property
    def digest(self) -> Digest: ...

    @property
    def named(self) -> Digest: ...


Pull = Callable[[Reference], Pulled]
"""Reads manifest and config from the registry that the reference names; no layers."""


@dataclass(frozen=True)
class ResolvedBase:
    """A base image, ready to be built upon.

    ``name`` is what the user calls it, ``reference`` where it is in a registry, ``local`` whether
    its layers are files on this machine. ``python`` is the version of ``/usr/bin/python``, empty
    where nobody knows; ``accelerator`` is what the base itself says it is for, or empty. ``named``
    is the digest of what a reference names, which may be an index. ``remark`` is what the user
    should know about it, or empty.
    """

    image: Image
    name: str
    digest: Digest
    reference: Reference | None
    local: bool
    python: str
    accelerator: str
    named: Digest | None = None
    remark: str = ""

    @property
    def recorded_name(self) -> str:
        """What images say that they stand on: no path of this machine."""
        if not self.name.startswith(OCI_PREFIX):
            return self.name
        return OCI_PREFIX + LayoutReference.parse(self.name).name


def resolve_base(chosen: Chosen, store: Store, pull: Pull) -> ResolvedBase:
    """Find the image. Raises BaseError with the way to get it, and what ``pull`` raises."""
    if isinstance(chosen, Reference):
        return _pulled(chosen, str(chosen), pull)
    if isinstance(chosen, LayoutReference):
        return _in_layout(Layout(chosen.path), chosen.name, str(chosen))
    if chosen.reference is not None:
        return _pulled(chosen.reference, chosen.name, pull, chosen)
    store.image(chosen.name)
    return _in_layout(store.layout, chosen.name, chosen.name)


def _pulled(
    reference: Reference, name: str, pull: Pull, entry: BaseEntry | None = None
) -> ResolvedBase:
    try:
        pulled = pull(reference)
    except NotFoundError as error:
        raise BaseError(
            f"the base image {reference} does not exist: {error.what}",
            allowed=error.allowed,
            next_step="check the name, or choose another base: uaitrain base list",
        ) from None
    validate(pulled.image)
    told = entry.python.removeprefix("python-") if entry else ""
    return ResolvedBase(
        pulled.image,
        name,
        pulled.digest,
        reference,
        False,
        python_of(pulled.image, local=False) or told,
        pulled.image.labels.get(labels.ACCELERATOR, entry.accelerator if entry else ""),
        pulled.named,
    )


def _in_layout(layout: Layout, key: str, name: str) -> ResolvedBase:
    try:
        descriptor = layout.descriptor(key)
        image = layout.image(key)
    except NotFoundError as error:
        raise BaseError(error.what, allowed=error.allowed) from None
    if not image.platform.matches(Platform()):
        raise BaseError(
            f"the base {name} is for {image.platform}",
            allowed=str(Platform()),
            next_step="choose another base: uaitrain base list",
        )
    validate(image)
    return ResolvedBase(
        image,
        name,
        descriptor.digest,
        None,
        True,
        python_of(image, local=True) or "",
        image.labels.get(labels.ACCELERATOR, ""),
    )
