"""Layers of packages: made once, known by what was asked for, made again where they were lost."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from uaitrain.atomic import storage_error
from uaitrain.errors import StorageError
from uaitrain.files.cache import LayerCache, LayerFacts, given_key
from uaitrain.files.layers import FileLayer
from uaitrain.files.plan import LayerPlan
from uaitrain.oci.layer import Layer
from uaitrain.paths import cache_dir
from uaitrain.values import dataclass

Make = Callable[[Path], Layer]
"""Makes the layer in an empty folder, from which its bytes are taken."""


@dataclass(frozen=True)
class PackageLayer(FileLayer):
    """A layer of packages. Its bytes are in the cache, or are made again."""

    source: str = ""
    make: Make | None = None

    def open(self) -> BinaryIO:
        if kept := self.cache.open_blob(self.descriptor):
            return kept
        assert self.make is not None
        facts = _made(self.make, self.cache)
        if facts == self.facts and (kept := self.cache.open_blob(self.descriptor)):
            return kept
        # What can be had now is what the next pack takes.
        self.cache.remember(given_key(self.name, self.source), [(self.name, facts)])
        raise StorageError(
            f"the layer of {self.name} was lost from {cache_dir()}, and comes out differently now",
            next_step="pack again",
        )


def keep(name: str, source: str, make: Make, made: Layer | None = None) -> PackageLayer:
    """The layer ``name`` of all that ``source`` tells: ``made``, or the known one, or a new one."""
    cache = LayerCache(cache_dir() / "layers")
    key = given_key(name, source)
    if not made and (found := cache.recall(key)):
        return PackageLayer(Path("/"), name, found[0][1], cache, True, _no_plan, source, make)
    facts = _store(made, cache) if made else _made(make, cache)
    cache.remember(key, [(name, facts)])
    return PackageLayer(Path("/"), name, facts, cache, False, _no_plan, source, make)


def _no_plan() -> LayerPlan:
    raise AssertionError("a layer of packages is made of no plan")


def _made(make: Make, cache: LayerCache) -> LayerFacts:
    with work_folder() as work:
        return _store(make(work), cache)


def _store(layer: Layer, cache: LayerCache) -> LayerFacts:
    """Keep its bytes in the cache."""
    with layer.open() as blob, cache.spool() as spool:
        while chunk := blob.read(1 << 20):
            spool.write(chunk)
        spool.keep(layer.descriptor.digest)
    return LayerFacts(layer.diff_id, layer.descriptor)


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A new folder in the cache, gone when the block ends. Raises StorageError."""
    import tempfile

    parent = cache_dir() / "packages" / "work"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
    except OSError as error:
        raise storage_error(error, parent) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pip_log() -> Path:
    """Where pip, uv and apt-get tell what they do."""
    return cache_dir() / "packages" / "log.txt"
