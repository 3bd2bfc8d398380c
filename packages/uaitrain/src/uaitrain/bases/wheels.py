"""Get the wheels of a recipe's Python part: the listed ones by pip, our own from beside the packer.

Where pip finds packages is the user's own pip configuration (``PIP_INDEX_URL``,
``PIP_EXTRA_INDEX_URL``, ``PIP_FIND_LINKS``). What it brings is held against the digests of the
list; nothing is built and nothing of it runs.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.bases.recipe import PythonPart
from uaitrain.errors import BaseError, StorageError, UaitrainError
from uaitrain.progress import Progress

_OLDEST_GLIBC, _NEWEST_GLIBC = 17, 31
"""Wheels for these glibc 2.x are taken; Debian 11 has 2.31, Debian 12 has 2.36."""

_REPOSITORY = Path(__file__).resolve().parents[5]
ENGINE_FLAG = "--engine-wheel"


def download(part: PythonPart, folder: Path, log: Path, progress: Progress) -> tuple[Path, ...]:
    """The wheels of the list in ``folder``, sorted by name. Raises BaseError, StorageError."""
    listed = folder / "requirements.txt"
    try:
        folder.mkdir(parents=True)
        listed.write_text(part.lock, "utf-8")
    except OSError as error:
        raise storage_error(error, folder) from None
    task = progress.start("downloading Python packages")
    words = [
        *("download", "--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar=off"),
        *(f"--python-version={part.version}", "--implementation=cp"),
        *(f"--platform={name}" for name in _platforms()),
        *("--dest", str(folder), "--requirement", str(listed)),
    ]
    _pip(words, log)
    task.done()
    return tuple(sorted(folder.glob("*.whl")))


def pure(lock: Path, folder: Path, log: Path) -> None:
    """The wheels of the list ``lock``, which hold Python alone, into ``folder``.

    Raises BaseError, StorageError.
    """
    _listed(lock, folder, log, "any", "--abi=none")


def programs(lock: Path, folder: Path, log: Path) -> None:
    """The same for wheels that may hold programs, of those for the machines that images run on."""
    _listed(lock, folder, log, "manylinux2014_x86_64")


def _listed(lock: Path, folder: Path, log: Path, platform: str, *more: str) -> None:
    words = [
        *("download", "--no-deps", "--require-hashes", "--only-binary=:all:"),
        *("--disable-pip-version-check", "--no-input", "--progress-bar=off"),
        *("--python-version=3.9", "--implementation=py", f"--platform={platform}", *more),
        *("--dest", str(folder), "--requirement", str(lock)),
    ]
    _pip(words, log)


def own_wheel(distribution: str, given: Path | None, folder: Path, log: Path) -> Path:
    """The wheel of our own ``distribution``: ``given``, or built from this repository.

    Raises BaseError with what to do where it is neither given nor beside the packer.
    """
    name = distribution.replace("-", "_")
    if given is not None:
        if not given.is_file() or not re.fullmatch(rf"{name}-.*\.whl", given.name):
            raise BaseError(
                f"{ENGINE_FLAG} {given}: not a wheel of {distribution}",
                allowed=f"a file {name}-VERSION-py3-none-any.whl",
                next_step=_how_to_build(distribution),
            )
        return given
    source = _REPOSITORY / "packages" / distribution
    if not (source / "pyproject.toml").is_file():
        raise BaseError(
            f"the engine {distribution} is not here: this uaitrain was installed without the "
            "repository that holds both",
            allowed=f"{ENGINE_FLAG} FILE",
            next_step=_how_to_build(distribution),
        )
    # Where its build tool is there already, nothing has to be downloaded for it.
    alone = [] if not importlib.util.find_spec("hatchling") else ["--no-build-isolation"]
    _pip(["wheel", "--no-deps", *alone, "--wheel-dir", str(folder), str(source)], log)
    (made,) = folder.glob(f"{name}-*.whl")
    return made


def _how_to_build(distribution: str) -> str:
    return (
        f"in a clone of the repository: pip wheel --no-deps packages/{distribution}; "
        f"then {ENGINE_FLAG} FILE"
    )


def _platforms() -> list[str]:
    """Newest first: the names under which wheels for Debian's glibc are published."""
    named = [f"manylinux_2_{n}_x86_64" for n in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)]
    return [*named, "manylinux2014_x86_64"]


def _pip(words: Sequence[str], log: Path) -> None:
    """Run pip; what it says goes to ``log``, its end into the error."""
    program = pip_program()
    try:
        with log.open("wb") as said:
            code = subprocess.run(
                [*program, *words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                # The list names one version of each: a constraint of the user's can only be in
                # the way.
                env={**os.environ, "PIP_CONSTRAINT": os.devnull},
                check=False,
            ).returncode
        text = log.read_text("utf-8", "replace")
    except OSError as error:
        raise storage_error(error, log) from None
    if code:
        raise explain(words[0], text, log)


def pip_program() -> list[str]:
    """How pip is called here. Raises BaseError where it is missing."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if not found:
        raise BaseError(
            "pip is missing: it downloads Python packages",
            next_step="sudo apt-get install python3-pip",
        )
    return [found]


_CAUSES: tuple[tuple[str, type[UaitrainError], str, str], ...] = (
    (r"no space left on device", StorageError, "the disk is full", "free some gigabytes"),
    (
        r"do not match the hashes",
        BaseError,
        "a package is not the one that the list names by digest",
        "look at where pip finds its packages: pip config list",
    ),
    (
        r"no matching distribution found for (\S+)",
        BaseError,
        "pip does not find {0}",
        "name the index or the folder that has it (for a version that ends in +cpu: PyTorch's own "
        "index of CPU builds): PIP_EXTRA_INDEX_URL=URL or PIP_FIND_LINKS=FOLDER",
    ),
    (
        r"connection|timed out|name resolution|network is unreachable|proxy",
        BaseError,
        "the package index cannot be reached",
        "check the network and pip's configuration: pip config list",
    ),
)


def explain(action: str, said: str, log: Path) -> UaitrainError:
    """The error for a pip that failed, from what it said."""
    error: type[UaitrainError] = BaseError
    what, next_step = "it failed", "see the log"
    for pattern, kind, text, mend in _CAUSES:
        found = re.search(pattern, said, re.IGNORECASE)
        if found:
            what, next_step, error = text.format(*found.groups()), mend, kind
            break
    lines = [line.strip() for line in said.splitlines() if "ERROR" in line]
    shown = "; ".join(line[:200] for line in lines[-1:])
    return error(
        f"pip {action}: {what}" + (f": {shown}" if shown else ""),
        next_step=f"{next_step}; the whole log: {log}",
    )
