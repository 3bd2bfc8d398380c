"""Wheels as one image layer, laid out as the base's Python finds them; nothing of it runs here.

They lie in ``/usr/local/lib/pythonX.Y/dist-packages``, which Debian's Python reads before its own
packages and Debian's package manager leaves alone; programs in ``/usr/local/bin``.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterable
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.bases import site, wheels
from uaitrain.bases.recipe import PythonPart
from uaitrain.bases.rootfs import write_files
from uaitrain.errors import BaseError
from uaitrain.oci.layer import Layer
from uaitrain.packages.kept import pip_log
from uaitrain.packages.pins import Pin
from uaitrain.progress import Progress

_INFO = re.compile(r"(.*/dist-packages/[^/]+\.dist-info)/METADATA")
_OTHER_FILE = re.compile(r"^\s+(\S+==\S+).*\n(?:\s+Expected.*\n)+\s+Got\s+([0-9a-f]{64})", re.M)
"""How pip says that a file has another digest (pip, HashMismatch)."""

_SHEBANG = re.compile(rb"#!\s*python(?:w)?[^\n]*\n")
"""What installers replace in a wheel's scripts (wheel format, "Recommended installer features")."""


def part_of(python: str, pins: Iterable[Pin] = ()) -> PythonPart:
    """The values that :mod:`uaitrain.bases` works with, for the Python ``python``."""
    return PythonPart(python, "", lock="".join(f"{pin}\n" for pin in pins))


def fetch(python: str, pins: Iterable[Pin], folder: Path, progress: Progress) -> tuple[Path, ...]:
    """The wheels of ``pins`` in ``folder``, each held against its digests. Raises BaseError."""
    part = part_of(python, pins)
    if not part.lock:
        return ()
    log = pip_log()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, log.parent) from None
    try:
        return wheels.download(part, folder, log, progress)
    except BaseError:
        if found := _OTHER_FILE.search(log.read_text("utf-8", "replace")):
            raise BaseError(
                f"{found[1]}: the file that pip finds is not the one that was chosen: its SHA-256 "
                f"is {found[2]}",
                next_step="look at where pip finds packages: pip config list; uaitrain pack "
                f"--upgrade-packages takes what is there now; the whole log: {log}",
            ) from None
        raise


def exact(found: Iterable[Path], pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """The pins, each with the digest of the one wheel that was chosen for it."""
    digests = {}
    for wheel in found:
        with wheel.open("rb") as file:
            digests[hashlib.file_digest(file, "sha256").hexdigest()] = wheel
    chosen = []
    for pin in pins:
        own = tuple(digest for digest in pin.digests if digest in digests)
        if len(own) != 1:
            raise BaseError(f"pip brought no wheel of {pin.name} {pin.version}")
        chosen.append(Pin(pin.name, pin.version, own))
    return tuple(chosen)


def write(
    python: str, found: Iterable[Path], built: Iterable[Path], work: Path, progress: Progress
) -> Layer:
    """The layer of the wheels ``found`` and of the trees ``built``, written in ``work``.

    Each tree holds one package, laid out from the image's root. Raises BaseError, StorageError.
    """
    root = work / "root"
    interpreter = site.Interpreter(root, part_of(python), frozenset())
    task = progress.start("unpacking Python packages")
    names: set[str] = set()
    try:
        root.mkdir()
        for wheel in sorted(found, key=lambda path: path.name):
            own = site.unpack(wheel, interpreter, lambda path: not path.endswith(".pyc"))
            own |= site.programs(own, interpreter)
            _name_interpreter(root, own, python)
            names |= own | _record(root, own)
        for tree in built:
            own = _move_in(tree, root)
            names |= own | _record(root, own)
    except OSError as error:
        raise storage_error(error, root) from None
    task.done()
    task = progress.start(
        "making the layer of Python packages", sum((root / name).stat().st_size for name in names)
    )
    layer = write_files(root, names, frozenset(), work / "layer.tar.gz", task)
    task.done()
    return layer


def _name_interpreter(root: Path, names: Iterable[str], python: str) -> None:
    """Scripts begin with a stand-in for the Python that runs them."""
    for name in names:
        if not name.startswith("usr/local/bin/"):
            continue
        data = (root / name).read_bytes()
        if found := _SHEBANG.match(data):
            text = f"#!/usr/bin/python{python}\n".encode()
            (root / name).write_bytes(text + data[found.end() :])


def _record(root: Path, names: Iterable[str]) -> frozenset[str]:
    """What was installed, as installers write it down (PyPA, "Recording installed projects")."""
    names = sorted(names)
    info = next((found[1] for name in names if (found := _INFO.fullmatch(name))), None)
    if info is None:
        return frozenset()
    folder = info.rpartition("/")[0]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name in names:
        data = (root / name).read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow((_relative(name, folder), f"sha256={digest}", len(data)))
    rows.writerow((f"{_relative(info, folder)}/RECORD", "", ""))
    (root / info / "RECORD").write_text(text.getvalue(), "utf-8")
    (root / info / "RECORD").chmod(0o644)
    return frozenset((f"{info}/RECORD",))


def _relative(name: str, folder: str) -> str:
    if name.startswith(f"{folder}/"):
        return name.removeprefix(f"{folder}/")
    # From lib/pythonX.Y/dist-packages back to what both share.
    return "../../../" + name.removeprefix("usr/local/")


def _move_in(built: Path, root: Path) -> frozenset[str]:
    names: set[str] = set()
    for path in sorted(built.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(built).as_posix()
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            target.write_bytes(path.read_bytes())
            target.chmod(mode)
            names.add(name)
    return frozenset(names)
