"""The settings under ``[packages]``: what a job needs beyond its base, judged.

A requirement is a name with versions, as PEP 508 writes it: where packages come from is the
machine's choice (pip's configuration), so addresses, paths and options are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uaitrain.errors import UsageError
from uaitrain.values import dataclass

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"(?:===|==|!=|~=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+"
_REQUIREMENT = re.compile(
    rf"({_NAME})\s*(\[\s*{_NAME}(?:\s*,\s*{_NAME})*\s*\])?"
    rf"\s*({_VERSION}(?:\s*,\s*{_VERSION})*)?\s*(;[^\n]*)?"
)
_DEBIAN = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?")
"""Debian policy, 5.6.1 and 5.6.12: names and versions."""


@dataclass(frozen=True)
class Packages:
    """What shall be installed. ``pip`` and ``sdist`` are requirements, ``apt`` Debian's names.

    ``requirements`` is a file or None; ``lock`` is where what they stand for is written down;
    ``upgrade`` has that chosen anew.
    """

    pip: tuple[str, ...]
    requirements: Path | None
    sdist: tuple[str, ...]
    apt: tuple[str, ...]
    lock: Path
    upgrade: bool = False

    @property
    def has_python(self) -> bool:
        return bool(self.pip or self.requirements or self.sdist)


def judge(values: Mapping[str, Any], lock: Path, *, upgrade: bool) -> Packages | None:
    """The packages that ``values`` name by the keys of the settings; None when there are none.

    Raises UsageError.
    """
    pip = tuple(values["packages.pip"])
    sdist = tuple(values["packages.sdist"])
    apt = tuple(values["packages.apt"])
    requirements: Path | None = values["packages.requirements"] or None
    for key, texts in (("pip", pip), ("sdist", sdist)):
        for text in texts:
            requirement_name(text, f"packages.{key}")
    for text in apt:
        if not _DEBIAN.fullmatch(text):
            raise UsageError(
                f"packages.apt: not a Debian package: {text!r}",
                allowed="NAME, or NAME=VERSION, such as libsndfile1",
            )
    if not (pip or sdist or apt or requirements):
        return None
    return Packages(pip, requirements, sdist, apt, lock, upgrade)


def requirement_name(text: str, where: str) -> str:
    """The package of a requirement, in its normal form (PEP 503). Raises UsageError."""
    found = _REQUIREMENT.fullmatch(text.strip())
    if not found:
        raise UsageError(
            f"{where}: not a requirement: {text!r}",
            allowed="NAME, NAME[EXTRA] and versions, such as nltk==3.9.1 or 'numpy>=1.19,<2'",
            next_step="name no address or path here: pip's own configuration says where packages "
            "are found (pip config set global.index-url URL)",
        )
    return normal(found[1])


def normal(name: str) -> str:
    """A package's name as PEP 503 compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(path: Path) -> tuple[tuple[str, frozenset[str]], ...]:
    """The requirements of a file, each with the SHA-256 digests that it allows (none: any).

    Raises UsageError with file and line.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read {path}: {error}", next_step="correct packages.requirements"
        ) from None
    found = []
    for number, line in _lines(text):
        where = f"{path}:{number}"
        words = re.split(r"\s+--hash[= ]", line)
        requirement = words[0].strip()
        if requirement.startswith("-"):
            raise UsageError(
                f"{where}: {requirement.split()[0]} cannot be used here",
                allowed="requirements, each with its --hash",
                next_step="write other files' lines into this one; where packages are found is "
                "said by pip's own configuration",
            )
        requirement_name(requirement, where)
        digests = [word.strip().partition(":") for word in words[1:]]
        found.append((requirement, frozenset(d for kind, _, d in digests if kind == "sha256")))
        if digests and not found[-1][1]:
            raise UsageError(f"{where}: no sha256 digest", allowed="--hash=sha256:…")
    return tuple(found)


def _lines(text: str) -> Sequence[tuple[int, str]]:
    """The logical lines with the number of their first one; comments and empty ones left out."""
    lines, begun, number = [], "", 1
    for at, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        number = number if begun else at
        if line.endswith("\\"):
            begun += line.removesuffix("\\") + " "
            continue
        if (whole := (begun + line).strip()) != "":
            lines.append((number, whole))
        begun = ""
    return (*lines, (number, begun.strip())) if begun.strip() else lines
