"""Wheels laid out as Debian's Python finds them, with byte code, as image layers.

Nothing of the machine that builds gets in: the wheels are unpacked here and not installed, and
the byte code is made by the very Python of the base, which is started from its own layer.
"""

from __future__ import annotations

import configparser
import re
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from uaitrain.atomic import storage_error
from uaitrain.bases.recipe import PythonPart
from uaitrain.errors import BaseError
from uaitrain.oci.layer import Layer
from uaitrain.values import dataclass

_NEEDED = re.compile(r"(usr/)?lib(64)?(/.*)?|usr/bin/python3[^/]*|usr")
"""What the base's Python needs to run outside of the base."""

_LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
_NOT_OURS = ("RECORD", "REQUESTED", "INSTALLER", "direct_url.json")
"""Notes of an installer about one machine, in a wheel's ``.dist-info``."""

_PROGRAMS = "usr/local/bin"
_SCRIPT = """\
#!/usr/bin/python{version}
import sys
from {module} import {name}
sys.exit({call}())
"""


@dataclass(frozen=True)
class Interpreter:
    """The base's Python, unpacked into ``root``; ``folders`` are those that its layer has."""

    root: Path
    part: PythonPart
    folders: frozenset[str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Start it with an empty environment: by the base's own loader, with its own libraries."""
        libraries = self.root / Path(_LOADER).parent
        program = self.root / "usr/bin" / f"python{self.part.version}"
        return subprocess.run(
            [str(self.root / _LOADER), "--library-path", str(libraries), str(program), *arguments],
            env={"PYTHONHOME": str(self.root / "usr"), "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def interpreter(layer: Layer, part: PythonPart, root: Path) -> Interpreter:
    """Unpack what the Python of ``layer`` needs into ``root``. Raises BaseError, StorageError."""
    folders: set[str] = set()
    try:
        root.mkdir(parents=True)
        with layer.open() as blob, tarfile.open(fileobj=blob, mode="r|gz") as tar:
            for member in tar:
                name = member.name.strip("/")
                if member.isdir():
                    folders.add(name)
                if _NEEDED.fullmatch(name) and not member.isdev():
                    _extract(tar, member, root / name, root)
    except tarfile.TarError as error:
        raise BaseError(f"the base's lowest layer is broken: {error}") from None
    except OSError as error:
        raise storage_error(error, root) from None
    found = Interpreter(root, part, frozenset(folders))
    asked = found.run("-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    if asked.stdout.strip() != part.version:
        raise BaseError(
            f"the recipe says Python {part.version}, its Debian has {asked.stdout.strip()!r}",
            next_step="correct python.version in the recipe",
        )
    return found


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, root: Path) -> None:
    """One entry of a layer that we made ourselves. tarfile's own way differs by Python."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        target.mkdir(exist_ok=True)
    elif member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        target.hardlink_to(root / member.linkname)
    elif (data := tar.extractfile(member)) is not None:
        with target.open("wb") as file:
            shutil.copyfileobj(data, file, 1 << 20)
        target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


def unpack(wheel: Path, python: Interpreter, stays: Callable[[str], bool]) -> frozenset[str]:
    """Lay ``wheel`` out under the root; the paths of its files that stay.

    Raises BaseError for a file that is no wheel, StorageError.
    """
    placed: set[str] = set()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                path = None if info.is_dir() else _place(info.filename, python.part)
                if path is None or not stays(path):
                    continue
                target = python.root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                runs = info.external_attr >> 16 & stat.S_IXUSR or path.startswith(_PROGRAMS)
                target.chmod(0o755 if runs else 0o644)
                placed.add(path)
    except (zipfile.BadZipFile, ValueError) as error:
        raise BaseError(f"{wheel.name} is not a wheel: {error}") from None
    except OSError as error:
        raise storage_error(error, python.root) from None
    return frozenset(placed)


def _place(name: str, part: PythonPart) -> str | None:
    """Where a wheel's file belongs, from the root; None for one that belongs nowhere.

    Source: the wheel format (packaging.python.org), "Installing a wheel".
    """
    pieces = PurePosixPath(name).parts
    if name.startswith("/") or ".." in pieces or not pieces:
        raise ValueError(f"it holds the path {name!r}")
    if pieces[0].endswith(".data") and len(pieces) > 2:
        to = {
            "purelib": part.folder,
            "platlib": part.folder,
            "scripts": _PROGRAMS,
            "data": "usr/local",
        }.get(pieces[1])
        return "/".join((to, *pieces[2:])) if to else None
    if pieces[0].endswith(".dist-info") and pieces[-1] in _NOT_OURS:
        return None
    return "/".join((part.folder, *pieces))


def programs(names: Iterable[str], python: Interpreter) -> frozenset[str]:
    """Write the programs that an unpacked wheel declares (``console_scripts``); their paths."""
    written = set()
    for path in names:
        if not path.endswith(".dist-info/entry_points.txt"):
            continue
        declared = configparser.ConfigParser(delimiters=("=",))
        declared.read_string((python.root / path).read_text("utf-8"))
        if not declared.has_section("console_scripts"):
            continue
        for program, target in declared.items("console_scripts"):
            module, _, call = target.partition(":")
            text = _SCRIPT.format(
                version=python.part.version, module=module, name=call.split(".")[0], call=call
            )
            file = python.root / _PROGRAMS / program
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            file.chmod(0o755)
            written.add(f"{_PROGRAMS}/{program}")
    return frozenset(written)


def compile_all(names: Iterable[str], python: Interpreter) -> dict[str, str]:
    """Make the byte code of every module among ``names``: path of the source to path of the code.

    It is checked by the source's digest, not its time. A file that is no Python of this version
    gets none.
    """
    sources = sorted(n for n in names if n.endswith(".py") and n.startswith(python.part.folder))
    listing = python.root / "sources"
    listing.write_text("".join(f"{python.root / name}\n" for name in sources), "utf-8")
    # Without site: what the wheels have for start-up must not run here.
    python.run(
        *("-S", "-B", "-W", "ignore", "-m", "compileall", "-q", "-q", "-f"),
        *("--invalidation-mode", "checked-hash", "-s", str(python.root), "-p", "/"),
        *("-i", str(listing)),
    )
    listing.unlink()
    tag = f"cpython-{python.part.version.replace('.', '')}"
    made = {}
    for name in sources:
        folder, _, file = name.rpartition("/")
        code = f"{folder}/__pycache__/{file.removesuffix('.py')}.{tag}.pyc"
        if (python.root / code).exists():
            made[name] = code
    return made


def check(python: Interpreter) -> None:
    """Run the recipe's check on what was laid out. Raises BaseError with what Python said."""
    if not python.part.check:
        return
    done = python.run("-B", "-c", python.part.check)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise BaseError(
            f"the base's Python does not run {python.part.check!r}: {said[-1]}",
            next_step="correct the recipe's packages",
        )
