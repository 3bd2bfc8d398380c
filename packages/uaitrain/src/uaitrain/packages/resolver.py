"""Choose versions with uv, for a Python that is not this one and need not be here.

Unlike pip's, its choice judges the conditions of requirements (``; python_version < "3.10"``) for
the Python that is asked about (docs/decisions/0018-extra-packages.md).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.errors import BaseError
from uaitrain.packages.indexes import environment
from uaitrain.packages.pins import Pin

PLATFORM = "x86_64-manylinux_2_31"
"""Debian 11's glibc; newer systems run what is made for it."""

OLDEST_PYTHON = (3, 8)
"""uv knows no older one."""

_INSTALL = "pip install 'uaitrain[packages]'"


def program() -> str:
    """The path of uv. Raises BaseError where it is missing."""
    try:
        import uv
    except ImportError:
        found = shutil.which("uv")
    else:
        found = str(uv.find_uv_bin())
    if not found:
        raise BaseError(
            "uv is missing: it chooses the versions of Python packages", next_step=_INSTALL
        )
    return found


def compile_words(python: str, wanted: Path, kept: Path, out: Path) -> list[str]:
    """uv's arguments, for here and for a container: the files ``wanted``, the constraints
    ``kept``, and ``out``, whose earlier content is preferred."""
    return [
        *("pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-strip-extras"),
        *("--python-version", python, "--constraint", str(kept)),
        *("--output-file", str(out), str(wanted)),
    ]


def resolve(
    python: str, wanted: Sequence[str], there: Mapping[str, str], before: Sequence[Pin], work: Path
) -> tuple[Pin, ...]:
    """The versions of ``wanted`` and all they need, wheels alone; ``there`` is kept as it is.

    ``before`` is preferred. Raises BaseError where no choice fits, StorageError.
    """
    files = write_question(wanted, there, before, work)
    words = compile_words(python, *files)
    words += ["--only-binary", ":all:", "--python-platform", PLATFORM, "--python", sys.executable]
    try:
        done = subprocess.run(
            [program(), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            cwd=work,
            check=False,
        )
    except OSError as error:
        raise storage_error(error, work) from None
    if done.returncode:
        raise explain(done.stderr, python, there)
    return read_answer(files[2])


def write_question(
    wanted: Sequence[str], there: Mapping[str, str], before: Sequence[Pin], work: Path
) -> tuple[Path, Path, Path]:
    """The three files of :func:`compile_words`, in the folder ``work``. Raises StorageError."""
    files = (work / "wanted.txt", work / "there.txt", work / "chosen.txt")
    texts = (
        wanted,
        [f"{name}=={version}" for name, version in sorted(there.items())],
        [f"{pin.name}=={pin.version}" for pin in before],
    )
    for file, lines in zip(files, texts, strict=True):
        try:
            file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        except OSError as error:
            raise storage_error(error, file) from None
    return files


def read_answer(out: Path) -> tuple[Pin, ...]:
    """The pins that uv wrote. Raises BaseError for what is none."""
    text = out.read_text("utf-8").replace("\\\n", " ")
    try:
        return tuple(
            Pin.parse(re.sub(r"\[[^]]*\]|\s*;[^-]*(?=--hash)", "", " ".join(line.split())))
            for line in text.splitlines()
            if line.strip() and not line.startswith("#")
        )
    except ValueError as error:
        raise BaseError(f"uv answers what is not understood: {error}") from None


def explain(said: str, python: str, there: Mapping[str, str]) -> BaseError:
    """The error for a uv that found no answer, from what it said."""
    # Its addresses may hold a login.
    said = re.sub(r"//[^/\s@]*@", "//", said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    causes = [line.removeprefix("cause: ") for line in lines if line.startswith("cause:")]
    errors = [line for line in lines if line.startswith(("error:", "E:"))]
    shown = "; ".join(causes[:2] or errors[-1:] or lines[-1:]) or "no reason given"
    shown = shown.replace("we can conclude that ", "")
    next_step = "correct packages.* in uaitrain.toml"
    if no_wheel := re.search(r"(\S+) has no usable wheels|all versions of (\S+) have no", shown):
        name = no_wheel[1] or no_wheel[2]
        name = re.split(r"[=<>~!]", name)[0]
        next_step = f"{name} must be built: put it into packages.sdist (needs Docker or Podman)"
    elif re.search(r"failed to fetch|error sending request|connect", said, re.IGNORECASE):
        next_step = "check the network and pip's configuration: pip config list"
    else:
        kept = [name for name in there if re.search(rf"\b{re.escape(name)}==", shown)]
        if kept:
            next_step = (
                f"the base has {', '.join(f'{n} {there[n]}' for n in kept)}, which is kept: choose "
                "another version of what does not fit, or name it in packages.pip to put another "
                "one over the base's"
            )
    return BaseError(f"no Python packages for Python {python} fit: {shown}", next_step=next_step)
