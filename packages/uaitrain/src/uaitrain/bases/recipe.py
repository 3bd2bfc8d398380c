"""What a base image is made of: a Debian suite, packages, what is left out, how it is labelled.

A recipe is a TOML file in :mod:`uaitrain.bases.recipes`, or a user's file that a user's catalogue
names. It says nothing about where packages come from: that is the user's choice.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from uaitrain.atomic import storage_error
from uaitrain.errors import BaseError
from uaitrain.oci.digest import Digest, digest_of
from uaitrain.oci.image import canonical_json

EPOCH = 1767225600
"""2026-01-01T00:00:00Z: the time of every file in a built base and of the base itself."""

CREATED = "2026-01-01T00:00:00Z"


_OWN = Path(__file__).with_name("recipes")
_WAY = 1
"""Counts the changes in what is left out of every base, so that old ones are built again."""


@dataclass(frozen=True)
class PythonPart:
    """Python packages on top of Debian's, for its Python ``version`` (such as ``3.11``).

    ``packages`` is the name of a requirements file with digests, beside the recipe; ``lock`` is
    its text. ``wheel`` is a distribution that is built beside the packer, such as our own engine;
    it becomes the topmost layer. ``check`` is Python that must run when all is there.
    """

    version: str
    packages: str
    wheel: str = ""
    check: str = ""
    lock: str = ""

    @property
    def folder(self) -> str:
        """Where Debian's Python looks for what was not installed by Debian."""
        return f"usr/local/lib/python{self.version}/dist-packages"


@dataclass(frozen=True)
class Recipe:
    """``finish`` are shell lines run in the finished tree; ``links`` maps a path to the target
    of a symbolic link made there; ``drop`` and ``keep`` are patterns of paths without the leading
    slash, in which ``*`` also matches slashes, and ``keep`` wins."""

    name: str
    suite: str
    packages: tuple[str, ...]
    variant: str = "minbase"
    architecture: str = "amd64"
    finish: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    description: str = ""
    accelerator: str = "cpu"
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ("/bin/bash",)
    python: PythonPart | None = None

    @property
    def has_own_wheel(self) -> bool:
        return self.python is not None and bool(self.python.wheel)

    @property
    def digest(self) -> Digest:
        """Changes when the recipe does, or the way in which we make layers."""
        values = asdict(self)
        if self.python is None:
            # What recipes could not say when a base was built does not make it an older one.
            del values["python"]
        return digest_of(canonical_json([_WAY, values]))


def load(recipe: str, name: str) -> Recipe:
    """The recipe for base ``name``: the name of a file in the package, or an absolute path.

    Raises BaseError for a recipe that is not there or broken, StorageError when it is unreadable.
    """
    try:
        text = (_OWN / recipe).read_text("utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        raise BaseError(
            f"base {name}: there is no recipe {recipe!r}",
            next_step="name a recipe file by its path in your catalogue.toml",
        ) from None
    except OSError as error:
        raise storage_error(error, Path(recipe), "read") from None
    found = parse(text, name, recipe)
    if found.python is None:
        return found
    lock = (_OWN / recipe).parent / found.python.packages
    try:
        return replace(found, python=replace(found.python, lock=lock.read_text("utf-8")))
    except (FileNotFoundError, UnicodeDecodeError):
        raise BaseError(
            f"recipe {recipe}: there is no requirements file {found.python.packages!r}",
            next_step=f"put it beside the recipe: {lock}",
        ) from None
    except OSError as error:
        raise storage_error(error, lock, "read") from None


def parse(text: str, name: str, source: str) -> Recipe:
    """Judge a recipe's text. Raises BaseError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BaseError(f"recipe {source} is not TOML: {error}") from None
    image, python = table.pop("image", {}), table.pop("python", None)
    values = _read(table, _TOP, source) | _read(image, _IMAGE, source, "image")
    _must_have(values, ("suite", "packages"), source)
    if python is not None:
        part = _read(python, _PYTHON, source, "python")
        _must_have(part, ("version", "packages"), source, "python.")
        if not re.fullmatch(r"3\.[0-9]+", part["version"]):
            raise BaseError(
                f"recipe {source}: python.version is {part['version']!r}", allowed="such as 3.11"
            )
        values["python"] = PythonPart(**part)
    return Recipe(name=name, **values)


def _read(
    place: object, allowed: Mapping[str, Callable[[object, str], Any]], source: str, name: str = ""
) -> dict[str, Any]:
    """The values of one table, each judged."""
    if not isinstance(place, dict):
        raise BaseError(f"recipe {source}: {name} is not a table")
    for key in place:
        if key not in allowed:
            raise BaseError(
                f"recipe {source}: unknown key {key!r}", allowed=", ".join(sorted(allowed))
            )
    return {key: allowed[key](value, f"recipe {source}: {key}") for key, value in place.items()}


def _must_have(
    values: Mapping[str, Any], keys: tuple[str, ...], source: str, prefix: str = ""
) -> None:
    for key in keys:
        if not values.get(key):
            raise BaseError(f"recipe {source}: {prefix}{key} is missing")


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise BaseError(f"{where} is {value!r}", allowed="a string")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BaseError(f"{where} is {value!r}", allowed="a list of strings")
    return tuple(value)


def _pairs(value: object, where: str) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise BaseError(f"{where} is {value!r}", allowed="a table of strings")
    return value


_TOP: Mapping[str, Callable[[object, str], Any]] = {
    "suite": _text,
    "variant": _text,
    "architecture": _text,
    "packages": _texts,
    "finish": _texts,
    "links": _pairs,
    "drop": _texts,
    "keep": _texts,
}
_IMAGE: Mapping[str, Callable[[object, str], Any]] = {
    "description": _text,
    "accelerator": _text,
    "environment": _pairs,
    "command": _texts,
}
_PYTHON: Mapping[str, Callable[[object, str], Any]] = {
    "version": _text,
    "packages": _text,
    "wheel": _text,
    "check": _text,
}
