"""A container of a base, in which something is installed or built.

It has this machine's network. A work folder is mounted at ``/run/uaitrain``: what goes in and
comes out lies there, so that neither becomes part of the container's own files.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from uaitrain.atomic import make_temporary, storage_error
from uaitrain.bases.resolve import ResolvedBase
from uaitrain.bases.rootfs import leftover, write_part
from uaitrain.engines import Engine, store
from uaitrain.engines.engine import failure
from uaitrain.errors import EngineError
from uaitrain.oci.layer import Layer
from uaitrain.oci.reference import Reference
from uaitrain.packages.kept import pip_log
from uaitrain.packages.unlike import unlike
from uaitrain.progress import Progress
from uaitrain.sinks.engine import EngineSink
from uaitrain.values import dataclass, replace

INSIDE = "/run/uaitrain"
"""Where the work folder is in the container."""

_ENVIRONMENT = "environment"
_NOT_OURS = ("etc/hosts", "etc/mtab", ".dockerenv")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


class ScriptError(Exception):
    """A script that ended with an error; what it said is in ``said``."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@dataclass(frozen=True)
class Container:
    """A container of ``image`` that has run to its end; removed when the block around it ends.

    ``work`` is its work folder.
    """

    engine: Engine
    name: str
    image: str
    work: Path

    def difference(self, progress: Progress) -> Layer:
        """What it changed, as a layer with fixed times, in the work folder.

        Logs, caches and byte code stay out. Raises EngineError, BaseError, StorageError.
        """
        changed, gone = read_changes(self.engine.answer("diff", self.name))
        before = self._before(changed)
        tree = self.work / "tree.tar"
        task = progress.start(f"reading what {self.engine.program} installed")
        with tree.open("wb") as file:
            done = subprocess.run(
                self.engine.argv("export", self.name),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
                env=self.engine.child_environment(),
                check=False,
            )
        if done.returncode:
            raise failure(self.engine, "export", done.stderr.decode("utf-8", "replace"))
        try:
            changed = unlike(changed, tree, before)
        except OSError as error:
            raise storage_error(error, tree) from None
        layer = write_part(tree, changed, gone, self.work / "layer.tar.gz", task)
        tree.unlink()
        task.done()
        return layer

    def _before(self, names: Iterable[str]) -> Path:
        """A tar of those ``names`` that the image has, as they are there. Raises EngineError."""
        listed = self.work / "names"
        listed.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
        self.engine.answer(
            *("run", "--rm", f"--name={self.name}-before", "--network=host", "--user=0:0"),
            *("--entrypoint=/bin/tar", f"--volume={self.work}:{INSIDE}", self.image),
            *("--create", f"--file={INSIDE}/before.tar", "--directory=/", "--no-recursion"),
            *("--ignore-failed-read", "--null", "--verbatim-files-from"),
            f"--files-from={INSIDE}/{listed.name}",
        )
        return self.work / "before.tar"


def read_changes(text: str) -> tuple[list[str], list[str]]:
    """What an engine's ``diff`` tells: paths that were added or changed, and paths that are gone.

    A folder that was only changed comes with what changed in it, or not at all.
    """
    marks: dict[str, str] = {}
    for line in text.splitlines():
        mark, _, path = line.strip().partition(" ")
        name = path.strip("/")
        if mark in ("A", "C", "D") and name and _belongs(name):
            marks[name] = mark
    parents = {parent for name in marks for parent in _above(name)}
    changed = [n for n, mark in marks.items() if mark == "A" or (mark == "C" and n not in parents)]
    gone = [n for n, mark in marks.items() if mark == "D"]
    lowest = {n for n in gone if not any(marks.get(parent) == "D" for parent in _above(n))}
    return sorted(changed), sorted(lowest)


def _belongs(name: str) -> bool:
    return not (
        leftover(f"{name}/x")
        or leftover(name)
        or name in _NOT_OURS
        or name.endswith((".pyc", "/__pycache__"))
    )


def _above(name: str) -> Iterator[str]:
    while name := name.rpartition("/")[0]:
        yield name


def image_of(engine: Engine, base: ResolvedBase, progress: Progress) -> str:
    """The name by which ``engine`` has the base, which it gets if need be. Raises EngineError."""
    if not base.local:
        assert base.reference is not None
        name = str(replace(base.reference, digest=base.digest, tag=""))
        task = progress.start(f"{engine.program} pull {base.reference}")
        engine.answer("pull", "--quiet", name)
        task.done()
        return name
    reference = Reference("", "uaitrain-base", base.digest.partition(":")[2][:16])
    EngineSink(engine).put(base.image, reference, progress)
    return store.full_name(engine, reference)


@contextlib.contextmanager
def ran(
    engine: Engine,
    image: str,
    script: str,
    work: Path,
    *,
    told: Mapping[str, str],
    mounts: Iterable[tuple[Path, str]] = (),
) -> Iterator[Container]:
    """Run the shell ``script`` in a new container of ``image``.

    ``told`` is its environment; it goes in by a file that is gone afterwards, for it may hold a
    login. ``mounts`` are read-only. Raises ScriptError when the script fails, EngineError.
    """
    name = f"uaitrain-packages-{secrets.token_hex(6)}"
    container = Container(engine, name, image, work)
    try:
        _write(work / "script.sh", f"set -a; . {INSIDE}/{_ENVIRONMENT}; set +a\n{script}")
        _write(work / _ENVIRONMENT, _assignments({**_proxies(), **told}))
        done = engine.ask(
            *("run", f"--name={name}", "--network=host", "--user=0:0"),
            *("--entrypoint=/bin/sh", f"--volume={work}:{INSIDE}"),
            *(f"--volume={path}:{inside}:ro" for path, inside in mounts),
            *(image, "-eu", f"{INSIDE}/script.sh"),
        )
        (work / _ENVIRONMENT).unlink()
        _note(script, done.stdout + done.stderr)
        if done.returncode in (125, 126, 127):
            raise failure(engine, "run", done.stderr)
        if done.returncode:
            raise ScriptError(done.stdout + done.stderr)
        yield container
    except OSError as error:
        raise storage_error(error, work) from None
    finally:
        with contextlib.suppress(EngineError):
            engine.ask("rm", "--force", "--volumes", name)


def _write(path: Path, text: str) -> None:
    """Only this user may read it: it may hold a login."""
    path.unlink(missing_ok=True)
    handle, temporary = make_temporary(path.parent, f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).rename(path)


def _assignments(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _proxies() -> dict[str, str]:
    names = (*_PROXIES, *(name.upper() for name in _PROXIES))
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _note(script: str, said: str) -> None:
    path = pip_log()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{script}\n{said}", "utf-8")


def words(items: Sequence[str]) -> str:
    """Texts as words of a shell command."""
    return shlex.join(items)
