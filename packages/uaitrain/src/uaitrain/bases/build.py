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
from dataclasses import dataclass
from pathlib import Path

from uaitrain.atomic import storage_error, write_bytes
from uaitrain.bases import labels, mmdebstrap
from uaitrain.bases.recipe import CREATED, Recipe
from uaitrain.bases.rootfs import Contents, write_layer
from uaitrain.bases.store import Store
from uaitrain.oci.image import History, Image
from uaitrain.oci.layer import Layer
from uaitrain.paths import cache_dir
from uaitrain.progress import Progress, Silent

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
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Built:
    """The base of ``recipe``, from the store when this recipe made it, unless ``force``.

    ``note`` is told when another build has to be waited for. Raises BaseError, StorageError.
    """
    progress = progress or Silent()
    with _alone(recipe.name, note) as record:
        found = store.image(recipe.name) if store.has(recipe.name) else None
        if found and not force and found.labels.get(labels.RECIPE_DIGEST) == recipe.digest:
            return Built(found, built=False)
        with _workplace(recipe.name, record) as work:
            tree, blob = work / "tree.tar", work / "layer"
            mmdebstrap.run(recipe, builder, tree, work, record.with_suffix(".log"), progress)
            task = progress.start("making the layer", tree.stat().st_size)
            layer, contents = write_layer(tree, recipe, blob, task)
            task.done()
            tree.unlink()
            store.put(image(recipe, layer, contents), recipe.name, progress)
        return Built(store.image(recipe.name), built=True)


def image(recipe: Recipe, layer: Layer, contents: Contents) -> Image:
    """The image of one built layer."""
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
