"""The layers of packages of a job, for each of its bases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from uaitrain.bases.resolve import ResolvedBase
from uaitrain.engines import Engine, require_engine
from uaitrain.errors import BaseError, EngineError
from uaitrain.oci.layer import Layer
from uaitrain.package_settings import Packages, read_requirements, requirement_name
from uaitrain.packages import debian, pins, resolver, wheel_layer
from uaitrain.packages.build import Workshop
from uaitrain.packages.installed import installed
from uaitrain.packages.kept import PackageLayer, keep, work_folder
from uaitrain.packages.pins import Lock, Pin, PythonPins, request_of
from uaitrain.progress import Progress
from uaitrain.values import dataclass

NAME = "Python packages"
_WAY = "1"
"""Counts the changes in how the layer is made."""

_PEP440 = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?")


@dataclass(frozen=True)
class Target:
    """A base, and the Python in it, such as 3.9 (empty: not known)."""

    base: ResolvedBase
    python: str

    @staticmethod
    def of(base: ResolvedBase, said: str) -> Target:
        """``said`` is what the user says of the base's Python, where the base does not."""
        told = re.match(r"(?:python-?)?([0-9]+\.[0-9]+)", base.python or said)
        return Target(base, told[1] if told else "")


@dataclass(frozen=True)
class Installing:
    """How packages are installed: by which engine (empty: the first one found)."""

    packages: Packages
    progress: Progress
    engine: str | None = None

    def engine_for(self, key: str) -> Engine:
        """Raises EngineError, which names the setting ``key`` that needs an engine."""
        try:
            return require_engine(self.engine)
        except EngineError as error:
            raise EngineError(
                f"{key} is installed in a container: {error.what}", next_step=error.next_step
            ) from None

    def find_debian_engine(self) -> Engine:
        return self.engine_for("packages.apt")

    def workshop(self, base: ResolvedBase, python: str) -> Workshop:
        engine = self.engine_for("packages.sdist")
        return Workshop(engine, base, python, self.packages.apt, self.progress)


def package_layers(
    how: Installing, targets: Mapping[str, Target]
) -> Mapping[str, tuple[PackageLayer, ...]]:
    """The layers that come right above each base; the lock is written where something was chosen.

    Raises UsageError, BaseError, EngineError, StorageError.
    """
    stated = _stated(how.packages)
    if how.packages.has_python:
        for target in targets.values():
            _check_python(target)
    old = lock = pins.read(how.packages.lock)
    if how.packages.upgrade:
        lock = Lock()
    made: dict[str, PackageLayer | None] = {}
    for target in targets.values():
        if how.packages.apt and target.base.digest not in made:
            lock, made[target.base.digest] = _debian(how, target.base, lock)
            old = _written(how, lock, old)
    pythons = sorted({target.python for target in targets.values()})
    for python in pythons if how.packages.has_python else ():
        bases = [target.base for target in targets.values() if target.python == python]
        lock, made[python] = _python(how, stated, python, bases, lock)
        old = _written(how, lock, old)
    return {
        accelerator: tuple(
            layer for key in (target.base.digest, target.python) if (layer := made.get(key))
        )
        for accelerator, target in targets.items()
    }


def _written(how: Installing, lock: Lock, old: Lock) -> Lock:
    """After each choice, so that a failure of the next one does not lose it."""
    if lock != old:
        pins.write(how.packages.lock, lock)
    return lock


def _check_python(target: Target) -> None:
    name = target.base.name
    if not target.python:
        raise BaseError(
            f"which Python the base {name} has is not known, so nothing can be chosen for it",
            allowed="a base with the label dev.uaitrain.base.python, or one that is built here",
            next_step="say it: --python python-3.9 (key base.python)",
        )
    if tuple(map(int, target.python.split("."))) < resolver.OLDEST_PYTHON:
        raise BaseError(
            f"the base {name} has Python {target.python}: packages.pip knows "
            f"{'.'.join(map(str, resolver.OLDEST_PYTHON))} and newer",
            next_step="install what you need by a Dockerfile on that base, and name the image "
            "with --base-cpu and --base-gpu (docs/manual/extra-packages.md)",
        )


@dataclass(frozen=True)
class _Stated:
    """All stated requirements, the digests that some are held to, and what is to be built."""

    requirements: tuple[str, ...]
    digests: Mapping[str, frozenset[str]]
    names: frozenset[str]
    built: frozenset[str]
    request: str


def _stated(packages: Packages) -> _Stated:
    listed = read_requirements(packages.requirements) if packages.requirements else ()
    every = (*packages.pip, *(text for text, _ in listed), *packages.sdist)
    digests: dict[str, frozenset[str]] = {}
    for text, allowed in listed:
        if allowed:
            name = requirement_name(text, "")
            digests[name] = digests.get(name, frozenset()) | allowed
    held = [f"{name} {digest}" for name, allowed in digests.items() for digest in allowed]
    return _Stated(
        every,
        digests,
        frozenset(requirement_name(text, "packages") for text in every),
        frozenset(requirement_name(text, "packages.sdist") for text in packages.sdist),
        request_of(every, held, packages.sdist),
    )


def _debian(how: Installing, base: ResolvedBase, lock: Lock) -> tuple[Lock, PackageLayer | None]:
    known = lock.for_base(base.digest)
    if known and known.request == debian.request(how.packages.apt):
        return lock, debian.layer_of(known, base, how.find_debian_engine, how.progress)
    chosen, layer = debian.pin(how.packages.apt, base, how.find_debian_engine, how.progress)
    return lock.with_debian(chosen), layer


def _python(
    how: Installing,
    stated: _Stated,
    python: str,
    bases: Sequence[ResolvedBase],
    lock: Lock,
) -> tuple[Lock, PackageLayer | None]:
    known = lock.for_python(python)
    has = [installed(base, python) for base in bases]
    if known is None or known.request != stated.request or not _hold(known.there, has):
        before = known.wheels + known.built if known else ()
        with work_folder() as work:
            known = _choose(how, stated, python, bases[0], has, before, work)
        lock = lock.with_python(known)
    if not known.wheels and not known.built:
        return lock, None
    chosen = known

    def make(work: Path) -> Layer:
        built = []
        if chosen.built:
            built = how.workshop(bases[0], python).build(chosen.built, work)
        found = wheel_layer.fetch(python, chosen.wheels, work / "wheels", how.progress)
        return wheel_layer.write(python, found, built, work, how.progress)

    source = [_WAY, python, resolver.PLATFORM, *map(str, chosen.wheels)]
    if chosen.built:
        source += ["built", bases[0].digest, *map(str, chosen.built)]
    return lock, keep(NAME, json.dumps(source), make)


def _hold(there: Sequence[str], has: Sequence[Mapping[str, str] | None]) -> bool:
    """Whether the bases that can be looked into have what was left to them."""
    pairs = [text.split("==") for text in there]
    return all(
        base is None or all(base.get(name) == version for name, version in pairs) for base in has
    )


def _choose(
    how: Installing,
    stated: _Stated,
    python: str,
    base: ResolvedBase,
    has: Sequence[Mapping[str, str] | None],
    before: Sequence[Pin],
    work: Path,
) -> PythonPins:
    """Versions that fit the stated requirements and leave the bases' own packages as they are."""
    there = {
        name: version
        for each in reversed(has)
        for name, version in (each or {}).items()
        if name not in stated.names and _PEP440.fullmatch(version)
    }
    task = how.progress.start(f"choosing packages for Python {python}")
    if stated.built:
        shop = how.workshop(base, python)
        found = shop.resolve(stated.requirements, there, before, work)
    else:
        found = resolver.resolve(python, stated.requirements, there, before, work)
    task.done()
    found = tuple(_held(pin, stated.digests) for pin in found)
    there_already = [
        pin for pin in found if all(each and each.get(pin.name) == pin.version for each in has)
    ]
    new = [pin for pin in found if pin not in there_already]
    built = tuple(pin for pin in new if pin.name in stated.built)
    wheels = [pin for pin in new if pin.name not in stated.built]
    fetched = wheel_layer.fetch(python, wheels, work / "wheels", how.progress)
    return PythonPins(
        python,
        stated.request,
        wheel_layer.exact(fetched, wheels),
        built,
        tuple(f"{pin.name}=={pin.version}" for pin in there_already),
    )


def _held(pin: Pin, digests: Mapping[str, frozenset[str]]) -> Pin:
    """The pin with only those digests that the requirements file allows."""
    allowed = digests.get(pin.name)
    if not allowed:
        return pin
    own = tuple(digest for digest in pin.digests if digest in allowed)
    if not own:
        raise BaseError(
            f"{pin.name} {pin.version} has none of the digests that the requirements file names",
            next_step="correct its --hash, or look at where pip finds packages: pip config list",
        )
    return Pin(pin.name, pin.version, own)
