"""The everyday face: ``uaitrain.toml`` and flags, judged into a :class:`TrainSpec`.

Every setting stands once in ``SETTINGS``; the flags, the keys of the file and their help are
made from it. A flag wins over the file. Paths in the file are relative to the file's folder,
paths in flags to the current one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from uaitrain.errors import UsageError
from uaitrain.nearest import nearest
from uaitrain.oci.reference import Reference, check_host
from uaitrain.setting import LIST, NUMBER, PATH, SWITCH, TEXT, TYPES, Setting
from uaitrain.ship_settings import SHIP_SETTINGS, table
from uaitrain.spec import (
    BOARD_CHOICES,
    CPU,
    ENGINES,
    GPU,
    UHUB_INTERNAL,
    UHUB_PUBLIC,
    BaseChoice,
    Framework,
    Resources,
    Target,
    TrainSpec,
)
from uaitrain.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

FILE_NAME = "uaitrain.toml"
LOCK_FILES = ("uaitrain.lock", "uaitrain.packages.lock")
"""What may lie beside it and pin what a job stands on."""

DEFAULT_TAG = "uaitrain"
CONTAINER_ENGINES = ("docker", "podman")

SETTINGS = (
    Setting(
        "framework", "--framework", "framework and version", "caffe-1.0.0", TEXT, "NAME-VERSION"
    ),
    Setting("engine", "--engine", "what trains in the bases: caffe or torch", "", TEXT, "NAME"),
    Setting("code", "--code", "folder with the training code; becomes /data", "code", PATH, "DIR"),
    Setting("main", "--main", "main file, relative to the code folder", "train.py", TEXT, "FILE"),
    Setting("solver", "--solver", "solver prototxt as the container sees it", "", TEXT, "PATH"),
    Setting("snapshot", "--snapshot", "solverstate to go on from, or auto", "", TEXT, "PATH"),
    Setting("arguments", "--argument", "one more argument for the main file", (), LIST, "TEXT"),
    Setting("data", "--data", "folder that is /data/data in local runs", "data", PATH, "DIR"),
    Setting(
        "output", "--output", "folder that is /data/output in local runs", "output", PATH, "DIR"
    ),
    Setting("image", "--image", "where the image goes: host/registry/name:tag", None, TEXT, "REF"),
    Setting("ignore", "--ignore", "one more pattern to leave out (gitignore)", (), LIST, "PATTERN"),
    Setting("internal_uhub", "--internal-uhub", "use UCloud's internal host", False, SWITCH),
    Setting(
        "base.cpu", "--base-cpu", "base of the CPU image: entry or reference", "", TEXT, "BASE"
    ),
    Setting(
        "base.gpu", "--base-gpu", "base of the GPU image: entry or reference", "", TEXT, "BASE"
    ),
    Setting("base.os", "--os", "choose the base by operating system", "", TEXT, "OS"),
    Setting("base.python", "--python", "choose the base by Python", "", TEXT, "PYTHON"),
    Setting("resources.gpus", "--gpus", "GPUs of a GPU run", 1, NUMBER, "N"),
    Setting("resources.shm", "--shm", "size of /dev/shm, such as 512m or 2g", "1g", TEXT, "SIZE"),
    Setting(
        "board",
        "--board",
        "TensorBoard's writer in the images: auto, on or off",
        "auto",
        TEXT,
        "WHEN",
    ),
    Setting("packages.pip", "--pip", "a Python package, such as nltk==3.9.1", (), LIST, "SPEC"),
    Setting(
        "packages.requirements",
        "--requirements",
        "requirements or lock file; its digests are held",
        "",
        PATH,
        "FILE",
    ),
    Setting("packages.sdist", "--sdist", "a Python package that has no wheels", (), LIST, "SPEC"),
    Setting("packages.apt", "--apt", "a Debian package", (), LIST, "NAME"),
)


def sort_engine(arguments: argparse.Namespace, name: str) -> None:
    """``--engine`` names what trains. docker and podman, which run containers, are understood
    too, as if ``--container-engine`` had named them."""
    told = getattr(arguments, name, None)
    if told in CONTAINER_ENGINES:
        arguments.container_engine = told
        setattr(arguments, name, None)


def check_engine(text: str) -> str:
    """Raises UsageError for an engine that nobody knows."""
    if text not in ("", *ENGINES):
        raise UsageError(
            f"--engine: no such engine: {text!r}",
            allowed=f"{' or '.join(ENGINES)}, which train",
            next_step=f"{' or '.join(CONTAINER_ENGINES)} is chosen by --container-engine",
        )
    return text


def check_board(text: str) -> str:
    """Raises UsageError for another word than the three."""
    if text not in BOARD_CHOICES:
        raise UsageError(f"--board {text!r}", allowed=", ".join(BOARD_CHOICES))
    return text


def add_spec_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the flags of ``SETTINGS`` and ``--file``."""
    group = parser.add_argument_group("the job (each also a key of uaitrain.toml)")
    group.add_argument(
        "--file",
        type=Path,
        default=None,
        metavar="TOML",
        help=f"settings file (default: {FILE_NAME})",
    )
    _add_flags(group, SETTINGS)


def add_ship_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` the flags of ``SHIP_SETTINGS``, a group for each table."""
    for name in dict.fromkeys(setting.table for setting in SHIP_SETTINGS):
        title = "the run" if name == "run" else f"runs on {name}"
        group = parser.add_argument_group(f"{title} (table [{name}] of uaitrain.toml)")
        _add_flags(group, table(name))


def _add_flags(group: argparse._ArgumentGroup, settings: tuple[Setting, ...]) -> None:
    for setting in settings:
        extra: dict[str, Any] = {"metavar": setting.metavar}
        if setting.kind == LIST:
            extra["action"] = "append"
        elif setting.kind == SWITCH:
            extra = {"action": "store_true"}
        elif setting.kind == NUMBER:
            extra["type"] = int
        default = f" (default: {setting.default})" if setting.default else ""
        group.add_argument(
            setting.flag,
            dest=f"spec_{setting.destination}",
            default=None,
            # argparse formats helps with %.
            help=(setting.help + default).replace("%", "%%"),
            **extra,
        )


def spec_from(arguments: argparse.Namespace) -> TrainSpec:
    """The job that the flags and the settings file describe. Raises UsageError."""
    sort_engine(arguments, "spec_engine")
    file = arguments.file if arguments.file is not None else Path(FILE_NAME)
    if arguments.file is not None or file.exists():
        values, folder = _read_file(file), file.absolute().parent
    else:
        values, folder = {}, Path.cwd()
    resolved: dict[str, Any] = {}
    for setting in (*SETTINGS, *SHIP_SETTINGS):
        flag = getattr(arguments, f"spec_{setting.destination}", None)
        value = flag if flag is not None else values.get(setting.key, setting.default)
        if setting.kind == PATH and value:
            origin = Path.cwd() if flag is not None else folder
            value = absolute(origin, value)
        resolved[setting.key] = value
    spec = _judge(resolved)
    lock = folder / LOCK_FILES[0]
    if os.path.exists(lock):  # noqa: PTH110 - for every pack
        spec = replace(spec, lock=lock)
    if not any(resolved[setting.key] for setting in SETTINGS if setting.table == "packages"):
        return spec
    from uaitrain import package_settings

    upgrade = getattr(arguments, "upgrade_packages", False)
    found = package_settings.judge(resolved, folder / LOCK_FILES[1], upgrade=upgrade)
    return replace(spec, packages=found)


def _read_file(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no settings file {str(path)!r}", next_step="uaitrain init writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {str(path)!r}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}", next_step="see https://toml.io") from None
    values = _flatten(document)
    known = {setting.key: setting for setting in (*SETTINGS, *SHIP_SETTINGS)}
    for key, value in values.items():
        if key not in known:
            raise UsageError(
                f"{path}: unknown key {key!r}" + _secret_hint(key),
                allowed=words(key, list(known)),
            )
        _check_kind(path, known[key], value)
    return values


def _flatten(document: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": item for inner, item in value.items()})
        else:
            flat[key] = value
    return flat


def _secret_hint(key: str) -> str:
    if re.search(r"password|secret|private|token", key):
        return " (secrets do not belong in a file that goes with the code)"
    return ""


def _check_kind(path: Path, setting: Setting, value: object) -> None:
    texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
    if type(value) is not TYPES[setting.kind] or not texts:
        raise UsageError(
            f"{path}: {setting.key} = {value!r}",
            allowed=setting.kind + (" of texts" if setting.kind == LIST else ""),
        )


def words(word: str, known: list[str]) -> str:
    """The allowed words as text, with the likeliest one first."""
    close = nearest(word, known)
    return (f"did you mean {close!r}? " if close else "") + "known: " + ", ".join(known)


def absolute(origin: Path, text: str) -> Path:
    """``text`` as an absolute path without ``.`` and ``..`` parts, links left as they are."""
    return Path(os.path.abspath(origin / Path(text).expanduser()))  # noqa: PTH100 - no links resolved


def parse_framework(text: str, what: str = "framework") -> Framework:
    """Raises UsageError unless ``text`` is ``name-version``."""
    name, dash, version = text.rpartition("-")
    if not dash or not name or not version:
        raise UsageError(f"not a {what}: {text!r}", allowed="name-version, such as caffe-1.0.0")
    return Framework(name, version)


def parse_size(text: str) -> int:
    """Bytes of ``512m``, ``2g`` and so on (powers of 1024). Raises UsageError."""
    match = re.fullmatch(r"([0-9]+)([kmgt]?)i?b?", text.strip().lower())
    if not match or int(match[1]) == 0:
        raise UsageError(f"not a size: {text!r}", allowed="a number and k, m, g or t, such as 512m")
    return int(match[1]) << (10 * " kmgt".index(match[2] or " "))


def check_main_file(text: str, flag: str) -> str:
    """The main file relative to the code folder, normalised. Raises UsageError."""
    parts = [part for part in text.removeprefix("/data/").split("/") if part not in ("", ".")]
    if not parts or ".." in parts or (text.startswith("/") and not text.startswith("/data/")):
        raise UsageError(
            f"{flag}: not a file in the code folder: {text!r}",
            allowed="a path relative to the code folder, such as train.py",
        )
    return "/".join(parts)


def parse_target(text: str) -> Target:
    """``host/registry/name:tag``, or ``name:tag`` for a job that stays here. Raises UsageError."""
    reference = Reference.parse(text, default_registry="")
    if reference.digest:
        raise UsageError(f"--image: {text!r} holds a digest", allowed="host/registry/name:tag")
    registry, _, image = reference.repository.rpartition("/")
    tag = reference.tag if text.rpartition("/")[2].find(":") >= 0 else DEFAULT_TAG
    if registry and not reference.registry:
        raise UsageError(
            f"--image: {text!r} names no registry host",
            allowed="host/registry/name:tag, or name:tag for a job that stays on this machine",
            next_step=f"for example {UHUB_PUBLIC}/{text}",
        )
    return Target(reference.registry, registry, image, tag)


def _judge(values: Mapping[str, Any]) -> TrainSpec:
    if values["image"] is None:
        raise UsageError(
            "--image is missing: the images have no name",
            allowed="host/registry/name:tag, or name:tag for a job that stays on this machine",
            next_step=f"give --image, or write image = … into {FILE_NAME} (uaitrain init)",
        )
    if values["resources.gpus"] < 1:
        raise UsageError(f"--gpus {values['resources.gpus']}", allowed="1 or more")
    engine = check_engine(values["engine"])
    target = parse_target(values["image"])
    if values["internal_uhub"] and target.host == UHUB_PUBLIC:
        target = Target(check_host(UHUB_INTERNAL), target.registry, target.image, target.tag)
    return TrainSpec(
        framework=parse_framework(values["framework"]),
        code=values["code"],
        main_file=check_main_file(values["main"], "--main"),
        data=values["data"],
        output=values["output"],
        target=target,
        solver=values["solver"],
        snapshot=values["snapshot"],
        arguments=tuple(values["arguments"]),
        ignore=tuple(values["ignore"]),
        bases={
            accelerator: BaseChoice(
                values[f"base.{accelerator}"], values["base.os"], values["base.python"], engine
            )
            for accelerator in (CPU, GPU)
        },
        internal_uhub=values["internal_uhub"],
        resources=Resources(values["resources.gpus"], parse_size(values["resources.shm"])),
        board=check_board(values["board"]),
        ship={setting.key: values[setting.key] for setting in SHIP_SETTINGS},
    )
