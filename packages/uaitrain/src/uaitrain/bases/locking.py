"""Making a lock: what the bases are now, against what was locked before (pure)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from uaitrain.bases.lock import Lock, LockedBase
from uaitrain.bases.resolve import ResolvedBase
from uaitrain.errors import BaseError
from uaitrain.values import replace


def locked_from(base: ResolvedBase, name: str, seconds: float) -> LockedBase:
    """``base`` as it is at ``seconds`` since 1970."""
    image = base.image
    # The documents of a foreign image may be written otherwise: a few bytes more or less.
    documents = len(image.raw_config) + len(image.raw_manifest)
    return LockedBase(
        name,
        base.digest,
        str(image.platform),
        sum(layer.descriptor.size for layer in image.layers) + documents,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
        base.reference,
        base.named if base.named not in (None, base.digest) else None,
    )


def renewed(
    old: Lock, names: Iterable[str], now: Mapping[str, ResolvedBase], seconds: float
) -> Lock:
    """The lock for the bases ``names``: as in ``old``, but for those that were looked at ``now``.

    A base of the same digest keeps its time and mirror; what the job no longer uses goes.
    """
    bases = []
    for name in names:
        known, base = old.find(name), now.get(name)
        if base is None:
            assert known is not None, "what was not locked is looked at"
            bases.append(known)
            continue
        fresh = locked_from(base, name, seconds)
        if known is not None and known.digest == fresh.digest:
            fresh = replace(known, index=fresh.index, reference=fresh.reference)
        bases.append(fresh)
    return replace(old, bases=tuple(bases))


def check(lock: Lock, now: Mapping[str, ResolvedBase], lost: Iterable[str]) -> None:
    """Raises BaseError unless ``lock`` has exactly the bases ``now``, and none of its mirrors is
    among the ``lost``."""
    wrong = [f"it does not have {name}" for name in now if lock.find(name) is None]
    wrong += [f"the job does not use {base.name}" for base in lock.bases if base.name not in now]
    for base in lock.bases:
        found = now.get(base.name)
        if found is not None and found.digest != base.digest:
            wrong.append(f"{base.name} is {found.digest} now, not {base.digest}")
    wrong += [f"{base} is gone" for base in lost]
    if wrong:
        raise BaseError(
            f"{lock.path.name} is out of date: {'; '.join(wrong)}",
            next_step="uaitrain base lock adds and drops bases, --upgrade renews digests, "
            "--mirror copies them",
        )
