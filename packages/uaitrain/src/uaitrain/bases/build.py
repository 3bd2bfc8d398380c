"""Build a base image from its recipe and put it into the store.

One build of a base runs at a time: a second one waits and then finds it built. Nothing is
visible before the end, and what a killed build left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from uaitrain.atomic import storage_error, write_bytes
from uaitrain.bases import labels, mmdebstrap, python_layers, site, wheels
from uaitrain.bases.python_layers import PythonLayers
from uaitrain.bases.recipe import CREATED, Recipe
from uaitrain.bases.rootfs import Contents, write_layer
from uaitrain.bases.store import Store
from uaitrain.oci.image import History, Image
from uaitrain.oci.layer import Layer
from uaitrain.paths import cache_dir
from uaitrain.progress import Progress, Silent
from uaitrain.values import dataclass

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Built:
    """A base in the store; ``built`` tells whether this call built it."""

    image: Image
    built: bool


def build(
    recipe: Recipe,
    builder: mmdebstrap.Builder,
    store: Store,
    *,
    force: bool = False,
    engine_wheel: Path | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Built:
    """The base of ``recipe``, from the store when this recipe made it, unless ``force``.

    ``engine_wheel`` is the wheel of the recipe's own engine; without it, it is built from the
    repository. ``note`` is told when another build has to be waited for. Raises BaseError,
    StorageError.
    """
    progress = progress or Silent()
    with _alone(recipe.name, note) as record:
        found = store.image(recipe.name) if store.has(recipe.name) else None
        if force or (found and found.labels.get(labels.RECIPE_DIGEST) != recipe.digest):
            found = None
        if found and not recipe.has_own_wheel:
            return Built(found, built=False)
        with _workplace(recipe.name, record) as work:
            build = _Build(recipe, builder, work, record, progress)
            engine = build.engine(engine_wheel)
            made = build.renewed(found, engine) if found and engine else build.whole(engine)
            if found and made.digest == found.digest:
                return Built(found, built=False)
            store.put(made, recipe.name, progress)
        return Built(store.image(recipe.name), built=True)


@dataclass(frozen=True)
class _Build:
    """One build in its folder ``work``; beside ``record`` lie its logs."""

    recipe: Recipe
    builder: mmdebstrap.Builder
    work: Path
    record: Path
    progress: Progress

    def engine(self, given: Path | None) -> python_layers.Engine | None:
        part = self.recipe.python
        if part is None or not part.wheel:
            return None
        return python_layers.read_engine(
            wheels.own_wheel(part.wheel, given, self.work, self.record.with_suffix(".wheel.log"))
        )

    def whole(self, engine: python_layers.Engine | None) -> Image:
        part = self.recipe.python
        log = self.record.with_suffix(".pip.log")
        fetched = wheels.download(part, self.work / "wheels", log, self.progress) if part else ()
        tree = self.work / "tree.tar"
        mmdebstrap.run(
            self.recipe,
            self.builder,
            tree,
            self.work,
            self.record.with_suffix(".log"),
            self.progress,
        )
        task = self.progress.start("making the layer", tree.stat().st_size)
        layer, contents = write_layer(tree, self.recipe, self.work / "layer", task)
        task.done()
        tree.unlink()
        made = image(self.recipe, layer, contents)
        if part is None:
            return made
        python = site.interpreter(layer, part, self.work / "root")
        layers = PythonLayers(self.recipe, part, self.work, self.progress)
        added = layers.packages(python, fetched)
        if engine:
            added.append(layers.engine(python, engine))
        site.check(python)
        made = made.append([a.layer for a in added], [a.history for a in added])
        return made.configure(labels={labels.ENGINE: engine.name} if engine else {})

    def renewed(self, found: Image, engine: python_layers.Engine) -> Image:
        """``found`` with the engine's layer made again: all below it is as this recipe has it."""
        assert self.recipe.python is not None
        python = site.interpreter(found.layers[0], self.recipe.python, self.work / "root")
        layers = PythonLayers(self.recipe, self.recipe.python, self.work, self.progress)
        added = layers.engine(python, engine)
        made = found.without_top().append([added.layer], [added.history])
        return made.configure(labels={labels.ENGINE: engine.name})


def image(recipe: Recipe, layer: Layer, contents: Contents) -> Image:
    """The image of the Debian layer alone."""
    environment = {"PATH": _PATH, **recipe.environment}
    empty = Image((), {"architecture": recipe.architecture, "os": "linux", "created": CREATED})
    return empty.append(
        [layer], [History(f"uaitrain base build {recipe.name}", f"Debian {recipe.suite}")]
    ).configure(
        command=recipe.command,
        environment=environment,
        labels={
            "org.opencontainers.image.title": recipe.name,
            "org.opencontainers.image.description": recipe.description,
            "org.opencontainers.image.created": CREATED,
            labels.NAME: recipe.name,
            labels.PYTHON: contents.python,
            labels.ACCELERATOR: recipe.accelerator,
            labels.PACKAGES_DIGEST: contents.digest,
            labels.RECIPE_DIGEST: recipe.digest,
        },
    )


@contextlib.contextmanager
def _alone(name: str, note: Callable[[str], None]) -> Iterator[Path]:
    """Hold the lock of one base; gives the path beside which the build keeps its record."""
    folder = cache_dir() / "base-builds"
    record = folder / f"{name}.work"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, folder) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"base {name} is being built by another uaitrain; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield record
    finally:
        os.close(lock)


@contextlib.contextmanager
def _workplace(name: str, record: Path) -> Iterator[Path]:
    """A folder for this build. Its path is written down first, so that the next build, which
    holds the lock by then, can remove what a killed one left."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        _remove(Path(record.read_text("utf-8")), name)
    # In a user namespace the builder is another user, who must be able to reach the folder:
    # a home folder is often closed to others, the system's temporary folder is not.
    parent = record.parent if os.geteuid() == 0 else Path(tempfile.gettempdir())
    work = parent / f"uaitrain-base-{name}-{secrets.token_hex(6)}"
    write_bytes(record, str(work).encode())
    try:
        work.mkdir(mode=0o755)
    except OSError as error:
        raise storage_error(error, work) from None
    try:
        yield work
    finally:
        _remove(work, name)
        record.unlink(missing_ok=True)


def _remove(work: Path, name: str) -> None:
    """Delete a build's folder, also what the builder made there as another user."""
    if not work.name.startswith(f"uaitrain-base-{name}-") or not work.is_dir():
        return
    delete = ["rm", "-rf", "--one-file-system", "--", str(work)]
    subprocess.run(delete, stdin=subprocess.DEVNULL, capture_output=True)
    if work.is_dir() and shutil.which("mmdebstrap"):
        inner = [str(path) for path in work.iterdir()]
        subprocess.run(
            ["mmdebstrap", "--unshare-helper", *delete[:-1], *inner],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        subprocess.run(delete, stdin=subprocess.DEVNULL, capture_output=True)
