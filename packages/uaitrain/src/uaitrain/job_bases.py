"""The bases of a job: chosen by its settings, held by its lock, found where they lie."""

from __future__ import annotations

from collections.abc import Mapping

from uaitrain.access import Registries
from uaitrain.bases import catalogue
from uaitrain.bases.catalogue import BaseEntry, Chosen
from uaitrain.bases.resolve import Pull, ResolvedBase, resolve_base
from uaitrain.bases.store import Store
from uaitrain.oci.descriptor import Platform
from uaitrain.oci.digest import Digest
from uaitrain.oci.reference import Reference
from uaitrain.paths import cache_dir
from uaitrain.spec import TrainSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.bases.pinned import Ask
    from uaitrain.registry.pull import PulledImage


def choose(spec: TrainSpec, store: Store) -> Mapping[str, Chosen]:
    """What the job names as its base, for each accelerator. Raises UsageError."""
    known: tuple[BaseEntry, ...] = ()
    if catalogue.is_needed(spec.framework, spec.bases.values()):
        known = catalogue.load()
        catalogue.check_framework(known, spec.framework)
    built = store.layout.names()
    return {
        accelerator: catalogue.choose(
            known, spec.framework, accelerator, choice, spec.internal_uhub, built
        )
        for accelerator, choice in spec.bases.items()
    }


def find(spec: TrainSpec, registries: Registries) -> Mapping[str, ResolvedBase]:
    """The CPU and the GPU base; of one in a registry only manifest and config are read.

    Where the job has a lock, each is the locked one. Raises UsageError, BaseError, RegistryError.
    """
    store = Store.default()
    chosen, pull = choose(spec, store), puller(registries)
    # The same base for both is read once.
    once = dict.fromkeys(chosen.values())
    if spec.lock is None:
        resolved = {each: resolve_base(each, store, pull) for each in once}
    else:
        from uaitrain.bases import lock
        from uaitrain.bases.pinned import resolve_pinned

        held = lock.read(spec.lock)
        ask = asker(registries)
        resolved = {each: resolve_pinned(each, held, store, pull, ask) for each in once}
    return {accelerator: resolved[each] for accelerator, each in chosen.items()}


def puller(registries: Registries) -> Pull:
    def pull(reference: Reference) -> PulledImage:
        from uaitrain.registry.pull import pull_image

        connection = registries.connect(reference.registry, reference.repository)
        return pull_image(connection, reference, Platform(), cache_dir() / "configs")

    return pull


def asker(registries: Registries) -> Ask:
    """Tells what a tag names now; None for nothing."""

    def ask(reference: Reference) -> Digest | None:
        connection = registries.connect(reference.registry, reference.repository)
        return connection.head_manifest(reference.repository, reference.identifier)

    return ask
