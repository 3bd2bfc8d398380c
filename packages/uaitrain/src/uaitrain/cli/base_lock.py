"""``uaitrain base lock``: the bases of a job pinned by digest, and mirrored on request."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uaitrain import job_bases
from uaitrain.access import Registries
from uaitrain.bases import lock as lock_file
from uaitrain.bases import locking, mirror
from uaitrain.bases.catalogue import Chosen, LayoutReference
from uaitrain.bases.lock import Lock, LockedBase, name_of
from uaitrain.bases.resolve import resolve_base
from uaitrain.bases.store import Store
from uaitrain.cli.access import access_from, add_access_arguments
from uaitrain.cli.console import Console
from uaitrain.errors import EXIT_OK, UaitrainError, UsageError
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.settings import FILE_NAME, LOCK_FILES, add_spec_arguments, spec_from
from uaitrain.units import human_bytes
from uaitrain.values import replace

if TYPE_CHECKING:
    from uaitrain.registry.client import Registry

_HELP = """\
Writes uaitrain.lock beside uaitrain.toml: the digest of each base that the job stands on, and
where it lies. From then on pack, check, test and submit take the locked bases, wherever a tag has
moved to, and say so when it has.

examples:
  uaitrain base lock                                        pin what is not pinned yet
  uaitrain base lock --upgrade                              take what the tags name now
  uaitrain base lock --check                                is the lock up to date? (exit code 5)
  uaitrain base lock --mirror registry.example.com/bases    and keep copies there

A copy has the same digest. Where the lock names one, packs take the base from there, so that a
job can be packed again when the base's own registry is gone.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "lock",
        help="pin the bases of a job by digest in uaitrain.lock",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--upgrade", action="store_true", help="renew the digests")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if the lock is out of date"
    )
    parser.add_argument(
        "--mirror", metavar="HOST/REPOSITORY", help="copy the locked bases there, by digest"
    )
    add_spec_arguments(parser)
    add_access_arguments(parser)
    parser.set_defaults(body=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.check and (arguments.upgrade or arguments.mirror):
        raise UsageError("--check writes nothing", allowed="--check alone")
    target = _mirror(arguments.mirror) if arguments.mirror else None
    spec = spec_from(arguments)
    registries = Registries(access_from(arguments, target.registry if target else ""))
    file = Path(arguments.file or FILE_NAME).absolute()
    old = lock_file.read(file.with_name(LOCK_FILES[0]))
    store = Store.default()
    chosen = {name_of(each): each for each in job_bases.choose(spec, store).values()}
    every = arguments.check or arguments.upgrade
    pull = job_bases.puller(registries)
    now = {
        name: resolve_base(each, store, pull)
        for name, each in chosen.items()
        if every or old.find(name) is None
    }
    if arguments.check:
        locking.check(old, now, _lost(old, registries))
        console.out(f"{old.path} is up to date")
        return EXIT_OK
    new = locking.renewed(old, chosen, now, time.time())
    if target is not None:
        bases = tuple(
            _mirrored(base, chosen[base.name], target, store, registries, console)
            for base in new.bases
        )
        new = replace(new, bases=bases)
    lock_file.write(new)
    _show(old, new, console, as_json=arguments.json)
    return EXIT_OK


def _mirror(text: str) -> Reference:
    reference = Reference.parse(text, default_registry="")
    if not reference.registry or reference.digest or text.rpartition("/")[2].find(":") >= 0:
        raise UsageError(
            f"--mirror: {text!r} is no place for several bases",
            allowed="host/repository, such as registry.example.com/bases",
        )
    return reference


def _lost(lock: Lock, registries: Registries) -> list[str]:
    """The mirrors that do not have their base any more."""
    ask = job_bases.asker(registries)
    lost = []
    for base in lock.bases:
        if base.mirror is None:
            continue
        try:
            there = ask(base.mirror) == base.digest
        except UaitrainError as error:
            raise type(error)(
                f"cannot look for {base.mirror}: {error.what}", next_step=error.next_step
            ) from None
        if not there:
            lost.append(str(base.mirror))
    return lost


def _mirrored(
    base: LockedBase,
    chosen: Chosen,
    place: Reference,
    store: Store,
    registries: Registries,
    console: Console,
) -> LockedBase:
    """``base`` with a copy in ``place``; only what is missing there is sent."""
    target = mirror.mirror_of(base, place.registry, place.repository)
    connection = registries.connect(place.registry, place.repository)
    if connection.head_manifest(place.repository, target.tag) != base.digest:
        image = _found(base, chosen, store, registries)
        mirror.copy(image, base, connection, target, console.progress)
    return replace(base, mirror=target)


def _found(
    base: LockedBase, chosen: Chosen, store: Store, registries: Registries
) -> mirror.Verbatim:
    """Where the locked bytes are: a mirror of before, the base's registry, or this machine."""
    for reference in (base.mirror, base.reference):
        if reference is not None:
            connection: Registry = registries.connect(reference.registry, reference.repository)
            return mirror.in_registry(connection, reference.repository, base.digest)
    if isinstance(chosen, LayoutReference):
        return mirror.in_layout(Layout(chosen.path), chosen.name)
    return mirror.in_layout(store.layout, base.name)


def _show(old: Lock, new: Lock, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.json({"file": str(new.path), "bases": [_row(old, base) for base in new.bases]})
        return
    for base in new.bases:
        row = _row(old, base)
        console.out(f"{base.name}  {base.digest}  {human_bytes(base.size)}  {row['state']}")
        if base.mirror is not None:
            console.out(f"  mirror {replace(base.mirror, digest=None)}")
    console.note(f"written to {new.path}")


def _row(old: Lock, base: LockedBase) -> Mapping[str, Any]:
    known = old.find(base.name)
    state = "new" if known is None else "kept" if known.digest == base.digest else "renewed"
    return {
        "name": base.name,
        "digest": base.digest,
        "bytes": base.size,
        "state": state,
        "reference": str(base.reference or ""),
        "mirror": str(base.mirror or ""),
    }
