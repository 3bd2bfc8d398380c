"""A base by the digest that ``uaitrain.lock`` has for it: from here, from the mirror, or from
where it was."""

from __future__ import annotations

from collections.abc import Callable

from uaitrain.bases.catalogue import BaseEntry, Chosen, LayoutReference
from uaitrain.bases.lock import Lock, LockedBase, name_of
from uaitrain.bases.resolve import Pull, ResolvedBase, resolve_base
from uaitrain.bases.store import Store
from uaitrain.errors import BaseError, UaitrainError
from uaitrain.oci.digest import Digest
from uaitrain.oci.reference import Reference
from uaitrain.values import replace

Ask = Callable[[Reference], Digest | None]
"""What a tag names now. May raise UaitrainError."""

UPGRADE = "uaitrain base lock --upgrade"


def resolve_pinned(chosen: Chosen, lock: Lock, store: Store, pull: Pull, ask: Ask) -> ResolvedBase:
    """As :func:`resolve_base`, with the locked digest; ``remark`` says what the user should know.

    Where a mirror is named, the base's own registry is not asked for anything. Raises BaseError
    where the locked base is nowhere to be had.
    """
    name = name_of(chosen)
    locked = lock.find(name)
    if locked is None:
        remark = f"{lock.path.name} does not have the base {name}: run uaitrain base lock"
        return replace(resolve_base(chosen, store, pull), remark=remark)
    if locked.mirror is not None:
        here = _here(chosen, locked, store, pull)
        return here or _from(chosen, locked.mirror.with_digest(locked.digest), store, pull, locked)
    if isinstance(chosen, LayoutReference) or _is_built(chosen):
        here = _here(chosen, locked, store, pull)
        if here is None:
            raise _moved_here(name, locked, lock)
        return here
    reference = chosen if isinstance(chosen, Reference) else chosen.reference
    assert reference is not None, "a base that is not built is in a registry"
    found = _from(chosen, reference.with_digest(locked.digest), store, pull, locked)
    return found if reference.digest else _compared(found, reference, locked, lock, ask)


def _is_built(chosen: Chosen) -> bool:
    return isinstance(chosen, BaseEntry) and chosen.reference is None


def _here(chosen: Chosen, locked: LockedBase, store: Store, pull: Pull) -> ResolvedBase | None:
    """The base of this machine, if it is the locked one."""
    if not isinstance(chosen, LayoutReference) and not _is_built(chosen):
        return None
    try:
        found = resolve_base(chosen, store, pull)
    except BaseError:
        # Without a mirror the message says how to get the base at all.
        if locked.mirror is None:
            raise
        return None
    return found if found.digest == locked.digest else None


def _from(
    chosen: Chosen, reference: Reference, store: Store, pull: Pull, locked: LockedBase
) -> ResolvedBase:
    """What the catalogue tells of an entry holds wherever its image lies."""
    if isinstance(chosen, BaseEntry):
        return resolve_base(replace(chosen, reference=reference, recipe=""), store, pull)
    return replace(resolve_base(reference, store, pull), name=locked.name)


def _compared(
    found: ResolvedBase, reference: Reference, locked: LockedBase, lock: Lock, ask: Ask
) -> ResolvedBase:
    """``found`` with a word about its tag, which may name another image by now."""
    try:
        now = ask(reference)
    except UaitrainError:
        return found  # the locked image is there; that the tag cannot be asked after is no harm
    if now == locked.named:
        return replace(found, reference=reference, named=now)
    moved = f"names {now} now" if now else "is gone"
    remark = (
        f"{reference} {moved}; {lock.path.name} keeps the base at {locked.digest} of "
        f"{locked.locked[:10]} ({UPGRADE} renews it)"
    )
    return replace(found, remark=remark)


def _moved_here(name: str, locked: LockedBase, lock: Lock) -> BaseError:
    return BaseError(
        f"the base {name} on this machine is not the one that {lock.path.name} has",
        allowed=f"{locked.digest} of {locked.locked[:10]}",
        next_step=f"{UPGRADE} takes the one that is here; with --mirror HOST/REPOSITORY a copy of "
        "it is kept",
    )
