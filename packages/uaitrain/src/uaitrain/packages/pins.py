"""``uaitrain.packages.lock``: what the stated packages stand for, so that it stays so.

A section holds for one Python (or one base, for Debian's packages) and for one list of stated
packages; where either changes it is chosen anew, and starts from what was chosen before. It holds
names, versions and digests, and never the place that a package came from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from uaitrain import atomic
from uaitrain.errors import UsageError
from uaitrain.values import dataclass, field, replace

_FORMAT = 1
_HEAD = """\
# What [packages] of uaitrain.toml stands for; written by uaitrain pack. Keep it with the code:
# with it the same packages are installed again. uaitrain pack --upgrade-packages renews it.
"""
_PIN = re.compile(
    r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)==([A-Za-z0-9.+!_-]+)((?: --hash=sha256:[0-9a-f]{64})+)"
)
_THERE = re.compile(r"[a-z0-9-]+==[A-Za-z0-9.+!_-]+")
_DEBIAN = re.compile(r"[a-z0-9][a-z0-9+.-]+:[a-z0-9-]+=[A-Za-z0-9.+:~-]+")


@dataclass(frozen=True)
class Pin:
    """One version of a Python package, and the SHA-256 digests of the files that may be it."""

    name: str
    version: str
    digests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}" + "".join(
            f" --hash=sha256:{digest}" for digest in self.digests
        )

    @staticmethod
    def parse(text: str) -> Pin:
        """Raises ValueError."""
        found = _PIN.fullmatch(text)
        if not found:
            raise ValueError(f"not a pinned package: {text!r}")
        return Pin(found[1], found[2], tuple(re.findall(r"[0-9a-f]{64}", found[3])))


@dataclass(frozen=True)
class PythonPins:
    """What ``request`` stands for under ``python`` (such as 3.9).

    ``built`` are those that have no wheels, ``there`` what the base has (``name==version``).
    """

    python: str
    request: str
    wheels: tuple[Pin, ...]
    built: tuple[Pin, ...] = ()
    there: tuple[str, ...] = ()


@dataclass(frozen=True)
class DebianPins:
    """All that ``request`` adds to ``base`` (a digest), each as ``name:architecture=version``."""

    base: str
    request: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    """The file's content. A change gives a new one."""

    python: tuple[PythonPins, ...] = field(default=())
    debian: tuple[DebianPins, ...] = field(default=())

    def for_python(self, python: str) -> PythonPins | None:
        return next((pins for pins in self.python if pins.python == python), None)

    def for_base(self, base: str) -> DebianPins | None:
        return next((pins for pins in self.debian if pins.base == base), None)

    def with_python(self, pins: PythonPins) -> Lock:
        others = [each for each in self.python if each.python != pins.python]
        return replace(self, python=tuple(sorted([*others, pins], key=lambda each: each.python)))

    def with_debian(self, pins: DebianPins) -> Lock:
        others = [each for each in self.debian if each.base != pins.base]
        return replace(self, debian=tuple(sorted([*others, pins], key=lambda each: each.base)))


def request_of(*parts: Iterable[str]) -> str:
    """A name for what was asked for: SHA-256 over lists of texts."""
    text = json.dumps([sorted(part) for part in parts])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> Lock:
    """The lock at ``path``; an empty one without it. Raises UsageError for a broken one."""
    import tomllib

    try:
        table = tomllib.loads(path.read_text("utf-8"))
        if table.get("version") != _FORMAT:
            raise ValueError(f"version is {table.get('version')!r}, not {_FORMAT}")
        return Lock(
            tuple(_python(each) for each in table.get("python", [])),
            tuple(_debian(each) for each in table.get("debian", [])),
        )
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise atomic.storage_error(error, path, "read") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: not a lock of packages: {error}",
            next_step="take it back from version control, or delete it: it is chosen anew then",
        ) from None


def write(path: Path, lock: Lock) -> None:
    """Raises StorageError; then the old file is as it was."""
    atomic.write_bytes(path, render(lock).encode())


def render(lock: Lock) -> str:
    """The text of the file: the same for the same content."""
    parts = [_HEAD, f"version = {_FORMAT}\n"]
    for pins in lock.python:
        parts.append(
            f'\n[[python]]\npython = "{pins.python}"\nrequest = "{pins.request}"\n'
            + _list("wheels", map(str, pins.wheels))
            + _list("built", map(str, pins.built))
            + _list("there", pins.there)
        )
    for each in lock.debian:
        parts.append(
            f'\n[[debian]]\nbase = "{each.base}"\nrequest = "{each.request}"\n'
            + _list("packages", each.packages)
        )
    return "".join(parts)


def _list(key: str, texts: Iterable[str]) -> str:
    # Everything in it was judged: none needs an escape.
    lines = "".join(f'    "{text}",\n' for text in texts)
    return f"{key} = [\n{lines}]\n" if lines else f"{key} = []\n"


def _python(table: dict[str, Any]) -> PythonPins:
    return PythonPins(
        _version(table["python"]),
        _digest(table["request"]),
        tuple(map(Pin.parse, table["wheels"])),
        tuple(map(Pin.parse, table["built"])),
        tuple(map(_there, table["there"])),
    )


def _there(text: str) -> str:
    if not _THERE.fullmatch(text):
        raise ValueError(f"not a package with its version: {text!r}")
    return text


def _debian(table: dict[str, Any]) -> DebianPins:
    packages = tuple(table["packages"])
    for text in packages:
        if not _DEBIAN.fullmatch(text):
            raise ValueError(f"not a Debian package with its version: {text!r}")
    return DebianPins(_digest(table["base"]), _digest(table["request"]), packages)


def _version(text: str) -> str:
    if not re.fullmatch(r"[23]\.[0-9]+", text):
        raise ValueError(f"not a version of Python: {text!r}")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError(f"not a digest: {text!r}")
    return text
