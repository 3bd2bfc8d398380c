"""From what the layers bring to what the image holds (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from uaitrain.provenance.contents import Contents, File
from uaitrain.provenance.packages import Package, System
from uaitrain.values import dataclass


@dataclass(frozen=True)
class Installed:
    """A package, and whether the base brought it."""

    package: Package
    from_base: bool


@dataclass(frozen=True)
class Inventory:
    """``packages`` without repetitions, ``files`` of our own layers only; both sorted."""

    system: System
    packages: tuple[Installed, ...]
    files: tuple[File, ...]


def merge(base: Sequence[Contents], own: Sequence[Contents]) -> Inventory:
    """What is there when the layers lie on each other, the lowest first."""
    below, whole = _stack(base), _stack([*base, *own])
    # A package that we add rewrites Debian's database, and with it what the base had brought.
    from_base = below.packages()
    return Inventory(
        whole.systems.get("etc/os-release") or whole.systems.get("usr/lib/os-release") or System(),
        tuple(Installed(p, p in from_base) for p in sorted(whole.packages(), key=_order)),
        tuple(sorted(_stack(own).files.values(), key=lambda file: file.path)),
    )


@dataclass(frozen=True)
class _Stack:
    """What is left of several layers, by path."""

    databases: dict[str, tuple[Package, ...]]
    systems: dict[str, System]
    files: dict[str, File]

    def packages(self) -> set[Package]:
        return {package for each in self.databases.values() for package in each}


def _stack(layers: Sequence[Contents]) -> _Stack:
    stack = _Stack({}, {}, {})
    for layer in layers:
        for tree in (stack.databases, stack.systems, stack.files):
            _remove(tree, layer.hidden)
        stack.databases.update(layer.databases)
        stack.systems.update(layer.systems)
        stack.files.update({file.path: file for file in layer.files})
    return stack


def directory_digest(files: Iterable[File], folder: str) -> str:
    """One digest of the regular files below ``folder``, in hexadecimal digits.

    ``dirHash`` of in-toto's digest sets (Go's Hash1): SHA-256 of the lines ``<sha256>  <path>``,
    sorted by path, which is relative to ``folder``.
    """
    prefix = f"{folder.strip('/')}/"
    found = hashlib.sha256()
    named = {f.path.removeprefix(prefix): f for f in files if f.path.startswith(prefix)}
    for path in sorted(named, key=_encoded):
        found.update(f"{named[path].sha256}  ".encode() + _encoded(path) + b"\n")
    return found.hexdigest()


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _order(package: Package) -> tuple[str, ...]:
    words = (package.kind, package.name, package.version, package.architecture)
    return (*words, package.source, package.licence)


def _remove(tree: dict[str, Any], hidden: Sequence[str]) -> None:
    """Take out the ``hidden`` paths and what lies below them."""
    for path in [p for p in tree if any(_is_at(p, h) for h in hidden)]:
        del tree[path]


def _is_at(path: str, hidden: str) -> bool:
    return path == hidden or path.startswith(hidden if hidden.endswith("/") else f"{hidden}/")
