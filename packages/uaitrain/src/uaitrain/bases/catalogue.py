"""Which base images there are: the package's catalogue.toml after the user's own."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.errors import UsageError
from uaitrain.oci.reference import Reference
from uaitrain.paths import config_dir
from uaitrain.spec import (
    CAFFE,
    CAFFE_1,
    CPU,
    ENGINES,
    GPU,
    UHUB_INTERNAL,
    UHUB_PUBLIC,
    BaseChoice,
    Framework,
)
from uaitrain.values import dataclass, replace

_OWN = Path(__file__).with_name("catalogue.toml")
BUILD_COMMAND = "uaitrain base build"
OCI_PREFIX = "oci:"

_NEEDED = ("name", "framework", "version", "accelerator")
_OPTIONAL = ("os", "python", "reference", "recipe", "engine")
_REFERENCE = re.compile(r"[/:@]")
"""What no name of an entry has."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?\Z")


@dataclass(frozen=True)
class BaseEntry:
    """One base: what is in it and where it comes from, a ``reference`` or a ``recipe``.

    ``engine`` is what trains in it, ``source`` is the file and line of the entry.
    """

    name: str
    framework: Framework
    accelerator: str
    os: str = ""
    python: str = ""
    reference: Reference | None = None
    recipe: str = ""
    source: str = ""
    engine: str = CAFFE

    def fits(
        self,
        framework: Framework,
        accelerator: str,
        choice: BaseChoice,
        built: Container[str] = (),
    ) -> bool:
        """Whether a job may stand on it that leaves open what ``choice`` leaves open.

        Where no engine is chosen that is Caffe's own; for GPUs it is also ours, as soon as it is
        ``built``: nobody has built another for them.
        """
        return (
            (self.framework, self.accelerator) == (framework, accelerator)
            and (
                choice.engine == self.engine
                if choice.engine
                else self.engine == CAFFE or (accelerator == GPU and self.name in built)
            )
            and choice.os in ("", self.os)
            and choice.python in ("", self.python)
        )


@dataclass(frozen=True)
class LayoutReference:
    """An image in an OCI layout on this machine: ``oci:PATH:NAME``; NAME may be missing."""

    path: Path
    name: str

    @staticmethod
    def parse(text: str) -> LayoutReference:
        path, _, name = text.removeprefix(OCI_PREFIX).partition(":")
        if not path:
            raise UsageError(
                f"not an OCI layout: {text!r}", allowed="oci:FOLDER or oci:FOLDER:NAME"
            )
        return LayoutReference(Path(path).expanduser().absolute(), name)

    def __str__(self) -> str:
        return f"{OCI_PREFIX}{self.path}" + (f":{self.name}" if self.name else "")


Chosen = BaseEntry | Reference | LayoutReference


def user_catalogue() -> Path:
    return config_dir() / "catalogue.toml"


def is_needed(framework: Framework, choices: Iterable[BaseChoice]) -> bool:
    """Whether anything has to be looked up: not for a job of ours on bases that are references."""
    return framework != CAFFE_1 or not all(_REFERENCE.search(each.wanted) for each in choices)


def load(user_file: Path | None = None) -> tuple[BaseEntry, ...]:
    """All entries, the user's first; a user's entry hides the package's of the same name.

    Raises UsageError with file and line for a broken user file.
    """
    path = user_file or user_catalogue()
    own = _OWN.read_text("utf-8")
    entries: list[BaseEntry] = []
    try:
        entries.extend(parse(path.read_text("utf-8"), str(path), path.parent))
    except FileNotFoundError:
        pass
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason}") from None
    except OSError as error:
        raise storage_error(error, path, "read") from None
    names = {entry.name for entry in entries}
    entries.extend(e for e in parse(own, "catalogue.toml", None) if e.name not in names)
    return tuple(entries)


def parse(text: str, source: str, folder: Path | None) -> tuple[BaseEntry, ...]:
    """Judge a catalogue's text; a relative recipe path is meant from ``folder``."""
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        at = line[1] if line else len(text.splitlines())
        raise UsageError(f"{source}:{at}: {error}", allowed="TOML") from None
    lines = [n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*base", line)]
    unknown = sorted(set(table) - {"base", "debian"})
    listed = table.get("base", [])
    if unknown or not isinstance(listed, list):
        raise UsageError(
            f"{source}:1: unknown key {(unknown or ['base'])[0]!r}", allowed="[[base]], [debian]"
        )
    entries: list[BaseEntry] = []
    for index, value in enumerate(listed):
        where = f"{source}:{lines[index] if index < len(lines) else 1}"
        entry = _entry(value, where, folder)
        if any(entry.name == other.name for other in entries):
            raise UsageError(f"{where}: a second base is named {entry.name!r}")
        entries.append(entry)
    return tuple(entries)


def _entry(value: object, where: str, folder: Path | None) -> BaseEntry:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: a base is {value!r}", allowed="a [[base]] table")
    keys = (*_NEEDED, *_OPTIONAL)
    for key, item in value.items():
        if key not in keys:
            raise UsageError(f"{where}: unknown key {key!r}", allowed=", ".join(keys))
        if not isinstance(item, str):
            raise UsageError(f"{where}: {key} is {item!r}", allowed="a string")
    for key in _NEEDED:
        if not value.get(key):
            raise UsageError(f"{where}: {key} is missing")
    if not _NAME.match(value["name"]):
        raise UsageError(
            f"{where}: not a name for a base: {value['name']!r}",
            allowed="lower-case letters, digits and . _ - between them, at most 100",
        )
    if value["accelerator"] not in (CPU, GPU):
        raise UsageError(f"{where}: accelerator is {value['accelerator']!r}", allowed="cpu, gpu")
    if value.get("engine", CAFFE) not in ENGINES:
        raise UsageError(f"{where}: engine is {value['engine']!r}", allowed=", ".join(ENGINES))
    if bool(value.get("reference")) == bool(value.get("recipe")):
        raise UsageError(f"{where}: give {value['name']} one of reference and recipe")
    recipe = value.get("recipe", "")
    if recipe and folder:
        recipe = str((folder / Path(recipe).expanduser()).absolute())
    try:
        reference = Reference.parse(value["reference"]) if value.get("reference") else None
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", allowed=error.allowed) from None
    return BaseEntry(
        value["name"],
        Framework(value["framework"], value["version"]),
        value["accelerator"],
        value.get("os", ""),
        value.get("python", ""),
        reference,
        recipe,
        where,
        value.get("engine", CAFFE),
    )


def mirrors(user_file: Path | None = None) -> tuple[str, ...]:
    """The Debian mirrors of the user's catalogue: ``[debian]``, ``mirrors = ["..."]``."""
    import tomllib

    path = user_file or user_catalogue()
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        # load() has already judged the file; without one there are no mirrors.
        return ()
    debian = table.get("debian", {})
    given = debian.get("mirrors", []) if isinstance(debian, dict) else None
    if not isinstance(given, list) or not all(isinstance(mirror, str) for mirror in given):
        raise UsageError(f"{path}: [debian] is {debian!r}", allowed='mirrors = ["URL", ...]')
    return tuple(given)


def by_name(catalogue: Sequence[BaseEntry], name: str) -> BaseEntry:
    """Raises UsageError that lists the names there are."""
    for entry in catalogue:
        if entry.name == name:
            return entry
    raise UsageError(
        f"no base is named {name!r}", allowed=", ".join(entry.name for entry in catalogue)
    )


def check_framework(catalogue: Sequence[BaseEntry], framework: Framework) -> None:
    """Raises UsageError that lists what there is, unless some entry is of ``framework``."""
    if any(entry.framework == framework for entry in catalogue):
        return
    raise UsageError(
        f"there is no base image for {framework} (--ai_arch_v, --framework)",
        allowed=", ".join(sorted({str(entry.framework) for entry in catalogue})),
        next_step=f"choose one of these, or describe your own base in {user_catalogue()}",
    )


def choose(
    catalogue: Sequence[BaseEntry],
    framework: Framework,
    accelerator: str,
    choice: BaseChoice,
    internal_uhub: bool = False,
    built: Container[str] = (),
) -> Chosen:
    """The base for ``accelerator``: what ``choice`` names, or the first entry that fits it.

    ``choice.wanted`` may be an entry's name, an image reference or ``oci:FOLDER:NAME``. With
    ``internal_uhub`` the catalogue's vendor references name the platform's inner host. ``built``
    names the bases of this machine. Raises UsageError.
    """
    if choice.wanted:
        for entry in catalogue:
            if entry.name == choice.wanted:
                return _inner(entry) if internal_uhub else entry
        if choice.wanted.startswith(OCI_PREFIX):
            return LayoutReference.parse(choice.wanted)
        if _REFERENCE.search(choice.wanted):
            return Reference.parse(choice.wanted)
        raise UsageError(
            f"no base is named {choice.wanted!r}",
            allowed=", ".join(entry.name for entry in catalogue)
            + "; or an image reference such as host/name:tag; or oci:FOLDER:NAME",
        )
    check_framework(catalogue, framework)
    for entry in catalogue:
        if entry.fits(framework, accelerator, choice, built):
            return _inner(entry) if internal_uhub else entry
    raise _nothing_fits(catalogue, framework, accelerator, choice)


def _inner(entry: BaseEntry) -> BaseEntry:
    if entry.reference is None or entry.reference.registry != UHUB_PUBLIC:
        return entry
    return replace(entry, reference=replace(entry.reference, registry=UHUB_INTERNAL))


def _nothing_fits(
    catalogue: Sequence[BaseEntry], framework: Framework, accelerator: str, choice: BaseChoice
) -> UsageError:
    wanted = ", ".join(_facts(accelerator, choice.engine, choice.os, choice.python))
    there = "; ".join(
        f"{e.name} ({', '.join(_facts(e.accelerator, _told(e), e.os, e.python))})"
        for e in catalogue
        if e.framework == framework
    )
    return UsageError(
        f"no base image for {framework} fits {wanted}",
        allowed=there,
        next_step=f"name an image yourself: --base-{accelerator} IMAGE",
    )


def _facts(*facts: str) -> list[str]:
    return [fact for fact in facts if fact]


def _told(entry: BaseEntry) -> str:
    """The engine, where it is not the one that everybody expects."""
    return entry.engine if entry.engine != CAFFE else ""
