"""Turn layer plans into image layers: one pass over what is new, none over what is known."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from uaitrain.files.cache import LayerCache, LayerFacts
from uaitrain.files.compress import gzip_stream, is_worth_compressing
from uaitrain.files.iterstream import as_file
from uaitrain.files.plan import LayerPlan
from uaitrain.files.tarball import stream
from uaitrain.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from uaitrain.oci.digest import Digest
from uaitrain.progress import Progress, Task
from uaitrain.values import dataclass

WORKERS = 2
"""Hashing and compressing leave the interpreter lock, so two threads use two cores."""


@dataclass(frozen=True)
class FileLayer:
    """A layer made of files: its blob is read from the cache or made again from the files."""

    root: Path
    plan: LayerPlan
    facts: LayerFacts
    cache: LayerCache
    known: bool
    """Whether no file had to be read to know its digest."""

    @property
    def diff_id(self) -> Digest:
        return self.facts.diff_id

    @property
    def descriptor(self) -> Descriptor:
        return self.facts.descriptor

    def open(self) -> BinaryIO:
        if self.descriptor.media_type == OCI_LAYER:
            return as_file(stream(self.root, self.plan))
        kept = self.cache.blob(self.descriptor.digest)
        if kept and kept.stat().st_size == self.descriptor.size:
            return kept.open("rb")
        return as_file(gzip_stream(stream(self.root, self.plan)))


def build_layers(
    root: Path, plans: Sequence[LayerPlan], cache: LayerCache, progress: Progress
) -> tuple[FileLayer, ...]:
    """The layers of ``plans`` in their order. Raises SourceError when files change meanwhile."""
    recalled = [cache.recall(plan) for plan in plans]
    work = sum(p.content_bytes for p, facts in zip(plans, recalled, strict=True) if not facts)
    if all(recalled):
        return tuple(
            FileLayer(root, plan, facts, cache, known=True)
            for plan, facts in zip(plans, recalled, strict=True)
            if facts
        )
    # It brings logging along, which a pack of known layers does without.
    from concurrent.futures import ThreadPoolExecutor

    task = progress.start("reading the code folder", work)

    def build(plan: LayerPlan, facts: LayerFacts | None) -> FileLayer:
        if facts:
            return FileLayer(root, plan, facts, cache, known=True)
        return FileLayer(root, plan, _read(root, plan, cache, task), cache, known=False)

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            layers = tuple(pool.map(build, plans, recalled))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    task.done()
    return layers


def _read(root: Path, plan: LayerPlan, cache: LayerCache, task: Task) -> LayerFacts:
    """One pass: tar, hash, compress, hash; compressed bytes are kept for the sinks."""
    started = time.time_ns()
    tar_hash = hashlib.sha256()

    def tar() -> Iterator[bytes]:
        for chunk in stream(root, plan):
            tar_hash.update(chunk)
            task.advance(len(chunk))
            yield chunk

    if is_worth_compressing(root, plan):
        blob_hash, size = hashlib.sha256(), 0
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
    facts = LayerFacts(Digest("sha256:" + tar_hash.hexdigest()), descriptor)
    cache.remember(plan, facts, started)
    return facts
