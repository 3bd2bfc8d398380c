"""What a base image is made of: a Debian suite, packages, what is left out, how it is labelled.

A recipe is a TOML file in :mod:`uaitrain.bases.recipes`, or a user's file that a user's catalogue
names. It says nothing about where packages come from: that is the user's choice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
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

    @property
    def digest(self) -> Digest:
        """Changes when the recipe does, or the way in which we make layers."""
        return digest_of(canonical_json([_WAY, asdict(self)]))


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
    return parse(text, name, recipe)


def parse(text: str, name: str, source: str) -> Recipe:
    """Judge a recipe's text. Raises BaseError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BaseError(f"recipe {source} is not TOML: {error}") from None
    image = table.pop("image", {})
    if not isinstance(image, dict):
        raise BaseError(f"recipe {source}: image is not a table")
    values: dict[str, Any] = {}
    for place, allowed in ((table, _TOP), (image, _IMAGE)):
        for key, value in place.items():
            if key not in allowed:
                raise BaseError(
                    f"recipe {source}: unknown key {key!r}", allowed=", ".join(sorted(allowed))
                )
            values[key] = allowed[key](value, f"recipe {source}: {key}")
    for key in ("suite", "packages"):
        if not values.get(key):
            raise BaseError(f"recipe {source}: {key} is missing")
    return Recipe(name=name, **values)


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
