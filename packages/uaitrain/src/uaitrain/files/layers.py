"""Turn a folder into image layers: one pass over what is new, none over what is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache as once
from pathlib import Path

from uaitrain.files.cache import LayerCache, LayerFacts, folder_key, given_key, plan_key
from uaitrain.files.compress import gzip_stream, is_worth_compressing
from uaitrain.files.inventory import Inventory, is_settled
from uaitrain.files.iterstream import as_file
from uaitrain.files.plan import LayerPlan, plan_layers
from uaitrain.files.tarball import stream
from uaitrain.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import Digest
from uaitrain.progress import Progress, Silent, Task
from uaitrain.sha256 import sha256
from uaitrain.typed import Protocol
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


@dataclass(frozen=True)
class FileLayer:
    """A layer made of files: its blob is read from the cache or made again from the files."""

    root: Path
    name: str
    facts: LayerFacts
    cache: LayerCache
    known: bool
    """Whether no file had to be read to know its digest."""
    plan: Callable[[], LayerPlan]
    """What is in it; asked for only where its bytes have to be made."""

    @property
    def diff_id(self) -> Digest:
        return self.facts.diff_id

    @property
    def descriptor(self) -> Descriptor:
        return self.facts.descriptor

    def open(self) -> BinaryIO:
        if self.descriptor.media_type == OCI_LAYER:
            return as_file(stream(self.root, self.plan()))
        if kept := self.cache.open_blob(self.descriptor):
            return kept
        return as_file(gzip_stream(stream(self.root, self.plan())))


class Taker(Protocol):
    """Who has a use for layers before all of them are made."""

    def expect(self) -> None:
        """At least one layer is going to be made."""

    def offer(self, layer: FileLayer) -> None:
        """``layer`` can be opened; from any thread."""


def folder_layers(
    inventory: Inventory,
    prefix: str,
    mtime: int,
    cache: LayerCache,
    progress: Progress,
    taker: Taker | None = None,
) -> tuple[FileLayer, ...]:
    """The layers of everything in ``inventory``, under ``prefix`` in the image.

    Each that has to be made is offered to ``taker`` as soon as it can be opened.

    An unchanged folder is known as a whole, by one record and without a plan.
    """
    key = folder_key(inventory, prefix, mtime)

    @once
    def plans() -> tuple[LayerPlan, ...]:
        return plan_layers(inventory, prefix, mtime)

    if (found := cache.recall(key)) is not None:
        return tuple(
            FileLayer(inventory.root, name, facts, cache, True, lambda at=at: plans()[at])  # type: ignore[misc] # the default binds it
            for at, (name, facts) in enumerate(found)
        )
    layers, are_settled = _build(inventory.root, plans(), cache, progress, taker)
    if are_settled:
        cache.remember(key, [(layer.name, layer.facts) for layer in layers])
    return layers


def given_layer(
    name: str,
    source: str,
    plan: Callable[[], LayerPlan],
    cache: LayerCache,
    taker: Taker | None = None,
) -> FileLayer:
    """The layer of a ``plan`` whose bytes are all given; ``source`` names what they come from.

    The plan is asked for only where the layer is not known yet, or its bytes are wanted.
    """
    key, nowhere = given_key(name, source), Path("/")
    if found := cache.recall(key):
        return FileLayer(nowhere, name, found[0][1], cache, True, plan)
    if taker:
        taker.expect()
    facts = _read(nowhere, plan(), cache, Silent().start(name), _Stop())
    cache.remember(key, [(name, facts)])
    layer = FileLayer(nowhere, name, facts, cache, False, plan)
    if taker:
        taker.offer(layer)
    return layer


def build_layers(
    root: Path, plans: Sequence[LayerPlan], cache: LayerCache, progress: Progress
) -> tuple[FileLayer, ...]:
    """The layers of ``plans`` in their order. Raises SourceError when files change meanwhile."""
    return _build(root, plans, cache, progress)[0]


def _build(
    root: Path,
    plans: Sequence[LayerPlan],
    cache: LayerCache,
    progress: Progress,
    taker: Taker | None = None,
) -> tuple[tuple[FileLayer, ...], bool]:
    """Also whether all of them are remembered now."""
    keys = [plan_key(plan) for plan in plans]
    recalled = [cache.recall(key) for key in keys]
    facts: list[LayerFacts | None] = [found[0][1] if found else None for found in recalled]
    # The largest first: whoever is given the last one is then done soon.
    new = [index for index, known in enumerate(facts) if known is None]
    new.sort(key=lambda index: -plans[index].content_bytes)
    are_settled = True
    if new:
        if taker:
            taker.expect()
        work = sum(plans[index].content_bytes for index in new)
        task = progress.start("reading the code folder", work)
        stop = _Stop()

        def build(index: int) -> None:
            nonlocal are_settled
            plan, began = plans[index], time.time_ns()
            facts[index] = made = _read(root, plan, cache, task, stop)
            if is_settled(plan.entries, began):
                cache.remember(keys[index], [(plan.name, made)])
            else:
                are_settled = False
            if taker:
                taker.offer(FileLayer(root, plan.name, made, cache, False, lambda: plan))

        _shared_by_two(build, new, stop)
        task.done()
    layers = tuple(
        FileLayer(root, plan.name, known, cache, bool(before), lambda plan=plan: plan)  # type: ignore[misc] # the default binds it
        for plan, known, before in zip(plans, facts, recalled, strict=True)
        if known
    )
    return layers, are_settled


class _Stop:
    """What two threads tell each other: that one of them failed."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def check(self) -> None:
        if self.errors:
            raise self.errors[0]


def _shared_by_two(work: Callable[[int], None], items: Sequence[int], stop: _Stop) -> None:
    """Do ``work`` for all items, in this thread and in one beside it.

    Hashing and compressing leave the interpreter lock, so two threads use two cores. The standard
    library's pool would bring logging along. The first error ends both, as soon as they
    ``check``, and is raised here.
    """
    waiting = list(reversed(items))

    def run() -> None:
        try:
            while waiting:
                try:
                    item = waiting.pop()
                except IndexError:  # the other one took it
                    return
                work(item)
        except BaseException as error:  # noqa: BLE001 - raised by the caller's thread
            stop.errors.append(error)

    beside = None
    if len(items) > 1:
        from threading import Thread

        beside = Thread(target=run)
        beside.start()
    run()
    while beside and beside.is_alive():
        try:
            beside.join()
        except BaseException as error:  # noqa: BLE001 - Ctrl-C: the other one is told, and awaited
            stop.errors.append(error)
    stop.check()


def _read(root: Path, plan: LayerPlan, cache: LayerCache, task: Task, stop: _Stop) -> LayerFacts:
    """One pass: tar, hash, compress, hash; compressed bytes are kept for the sinks."""
    tar_hash = sha256(size=plan.content_bytes)

    def tar() -> Iterator[bytes]:
        for chunk in stream(root, plan):
            stop.check()
            tar_hash.update(chunk)
            task.advance(len(chunk))
            yield chunk

    if is_worth_compressing(root, plan):
        blob_hash, size = sha256(size=plan.content_bytes), 0
        with cache.spool() as spool:
            for chunk in gzip_stream(tar()):
                blob_hash.update(chunk)
                size += len(chunk)
                spool.write(chunk)
            digest = Digest("sha256:" + blob_hash.hexdigest())
            spool.keep(digest)
        descriptor = Descriptor(OCI_LAYER_GZIP, digest, size)
    else:
        size = sum(len(chunk) for chunk in tar())
        descriptor = Descriptor(OCI_LAYER, Digest("sha256:" + tar_hash.hexdigest()), size)
    return LayerFacts(Digest("sha256:" + tar_hash.hexdigest()), descriptor)
