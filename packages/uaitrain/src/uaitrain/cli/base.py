"""``uaitrain base``: the base images that jobs are packed on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from uaitrain.access import Registries
from uaitrain.bases import catalogue
from uaitrain.bases.store import Store
from uaitrain.cli import base_lock
from uaitrain.cli.access import access_from, add_access_arguments
from uaitrain.cli.console import Console
from uaitrain.errors import BaseError, UsageError
from uaitrain.spec import CAFFE, CPU, ENGINES, GPU, BaseChoice, Framework

_EXAMPLES = """\
A base image holds the framework: packing adds your code on top of it. The catalogue names the
bases; your own entries go into {user_file}.

examples:
  uaitrain base list
  uaitrain base build caffe-1.0.0 --accelerator cpu    from Debian's archive, in about a minute
  uaitrain base build caffe-1.0.0 --engine torch       our engine on PyTorch for the CPU
  uaitrain base build caffe-1.0.0 --engine torch --accelerator gpu    and for NVIDIA GPUs
  uaitrain base build caffe-1.0.0 --mirror http://mirror.example.com/debian
  uaitrain base push caffe-1.0.0-debian11-cpu registry.example.com/bases/caffe:1.0.0-cpu
  uaitrain base lock --mirror registry.example.com/bases
  uaitrain base remove caffe-1.0.0-debian11-cpu
"""
_BUILD = """\
Builds a base from its recipe into the cache. mmdebstrap does it here, as root or as a normal
user (package uidmap); without mmdebstrap the same recipe runs in a container. The same package
versions give the same digest. A second build at the same time waits for the first.

Debian packages come from mmdebstrap's default mirror, or from --mirror, or from
UAITRAIN_DEBIAN_MIRROR, or from [debian] mirrors = [...] in {user_file}.
Python packages, where the recipe has some, come from where pip is configured to look
(PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS); the recipe's list has their digests.
From there comes TensorBoard's writer too, which pack puts into images.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    user_file = catalogue.user_catalogue()
    parser = subparsers.add_parser(
        "base",
        help="base images: list, build, push, lock, remove",
        description=_EXAMPLES.format(user_file=user_file),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="base_verb", metavar="VERB", required=True)

    verbs.add_parser(
        "list", help="what the catalogue names and what is on this machine"
    ).set_defaults(body=_list)

    build = verbs.add_parser(
        "build",
        help="build a base from its recipe",
        description=_BUILD.format(user_file=user_file),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("base", metavar="NAME", help="a base, or a framework such as caffe-1.0.0")
    build.add_argument(
        "--accelerator", choices=(CPU, GPU), default=CPU, help="for a framework name (default cpu)"
    )
    build.add_argument(
        "--engine", choices=ENGINES, default=CAFFE, help="for a framework name (default caffe)"
    )
    build.add_argument(
        "--engine-wheel",
        type=Path,
        metavar="FILE",
        help="the wheel of our engine (default: built from the repository that uaitrain is in)",
    )
    build.add_argument("--force", action="store_true", help="build it again though it is there")
    build.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL",
        help="a Debian mirror, or a whole 'deb ...' line; may be repeated",
    )
    build.add_argument(
        "--builder",
        choices=("mmdebstrap", "docker", "podman"),
        default="",
        help="how to build (default: the first of these that works)",
    )
    build.add_argument(
        "--builder-image",
        default="docker.io/library/debian:bookworm-slim",
        metavar="IMAGE",
        help="the Debian image to build in (default %(default)s)",
    )
    build.set_defaults(body=_build)

    push = verbs.add_parser("push", help="push a base of this machine to a registry")
    push.add_argument("base", metavar="NAME", help="a base that is on this machine")
    push.add_argument("target", metavar="REFERENCE", help="host/repository:tag")
    add_access_arguments(push)
    push.set_defaults(body=_push)

    base_lock.add_parser(verbs)

    remove = verbs.add_parser("remove", help="delete a base from this machine")
    remove.add_argument("base", metavar="NAME", help="a base that is on this machine")
    remove.set_defaults(body=_remove)


def run(arguments: argparse.Namespace, console: Console) -> int:
    body: Callable[[argparse.Namespace, Console], int] = arguments.body
    return body(arguments, console)


def _list(arguments: argparse.Namespace, console: Console) -> int:
    entries = catalogue.load()
    stored = {base.name: base for base in Store.default().list()}
    rows: list[Mapping[str, Any]] = [
        {
            "name": entry.name,
            "framework": str(entry.framework),
            "engine": entry.engine,
            "accelerator": entry.accelerator,
            "os": entry.os,
            "python": entry.python,
            "reference": str(entry.reference or ""),
            "built": entry.name in stored,
            "digest": stored[entry.name].digest if entry.name in stored else "",
            "bytes": stored[entry.name].size if entry.name in stored else 0,
        }
        for entry in entries
    ]
    if arguments.json:
        console.json(list(rows))
        return 0
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        told = (row["accelerator"], row["os"], row["python"], f"engine {row['engine']}")
        facts = ", ".join(fact for fact in told if fact)
        if row["built"]:
            state = f"on this machine, {row['bytes'] / 1e6:.0f} MB, {row['digest'][:19]}"
        else:
            state = row["reference"] or f"not built: {catalogue.BUILD_COMMAND} {row['name']}"
        console.out(f"{row['name']:<{width}}  {facts}\n{'':<{width}}  {state}")
    return 0


def _build(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.bases import build, mmdebstrap, recipe

    entry = _entry(arguments.base, arguments.accelerator, arguments.engine)
    if not entry.recipe:
        raise UsageError(
            f"the base {entry.name} is an image, {entry.reference}: there is nothing to build",
            allowed=", ".join(e.name for e in catalogue.load() if e.recipe),
        )
    builder = mmdebstrap.find_builder(
        arguments.builder, _mirrors(arguments.mirror), arguments.builder_image
    )
    made = build.build(
        recipe.load(entry.recipe, entry.name),
        builder,
        Store.default(),
        force=arguments.force,
        engine_wheel=arguments.engine_wheel,
        progress=console.progress,
        note=console.note,
    )
    _fetch_board(console)
    size = sum(layer.descriptor.size for layer in made.image.layers)
    if arguments.json:
        console.json(
            {"name": entry.name, "digest": made.image.digest, "bytes": size, "built": made.built}
        )
    state = "built" if made.built else "was there already (--force builds it again)"
    console.out(f"{entry.name} {state}: {size / 1e6:.0f} MB, {made.image.digest}")
    return 0


def _fetch_board(console: Console) -> None:
    """What ``pack`` puts beside the base, which needs no network then."""
    from uaitrain.bases import board_file

    try:
        board_file.fetch(console.progress)
    except BaseError as error:
        console.warn(f"no TensorBoard's writer: {error}")


def _entry(name: str, accelerator: str, engine: str) -> catalogue.BaseEntry:
    """A base by its own name, or the first with a recipe for ``framework-version``."""
    entries = catalogue.load()
    for entry in entries:
        if entry.name == name:
            return entry
    framework, _, version = name.partition("-")
    for entry in entries:
        fits = entry.fits(Framework(framework, version), accelerator, BaseChoice(engine=engine))
        if fits and entry.recipe:
            return entry
    raise UsageError(
        f"there is no recipe for {name!r} with engine {engine}, accelerator {accelerator}",
        allowed=", ".join(f"{e.name} ({e.engine}, {e.accelerator})" for e in entries if e.recipe),
        next_step="uaitrain base list",
    )


def _mirrors(given: list[str]) -> tuple[str, ...]:
    variable = os.environ.get("UAITRAIN_DEBIAN_MIRROR", "")
    return tuple(given) or ((variable,) if variable else catalogue.mirrors())


def _push(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.oci.reference import Reference
    from uaitrain.registry.push import push_image

    reference = Reference.parse(arguments.target)
    registries = Registries(access_from(arguments, reference.registry))
    registry = registries.connect(reference.registry, reference.repository)
    report = push_image(
        registry, Store.default().image(arguments.base), reference, progress=console.progress
    )
    if arguments.json:
        console.json(
            {"reference": str(reference), "digest": report.digest, "sent_bytes": report.sent}
        )
    console.out(f"pushed {reference}\n{report.digest}, {report.sent / 1e6:.1f} MB sent")
    return 0


def _remove(arguments: argparse.Namespace, console: Console) -> int:
    Store.default().remove(arguments.base)
    if arguments.json:
        console.json({"removed": arguments.base})
    console.out(f"removed {arguments.base}")
    return 0
