"""An image into a registry: only what it lacks is sent, the manifest goes last.

One request tells whether the very image is there already; if another one has the tag, that
one's blobs need not be asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from io import BytesIO

from uaitrain.errors import NotFoundError, RegistryError, UaitrainError, UsageError
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest
from uaitrain.oci.image import Image, parse_manifest
from uaitrain.oci.layer import Layer
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress, Silent, Task
from uaitrain.registry.client import Registry
from uaitrain.registry.failures import MissingBlobsError
from uaitrain.registry.pull import RegistryLayer
from uaitrain.registry.teamwork import Stop, run_all
from uaitrain.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from uaitrain.registry.early import EarlyUploads
    from uaitrain.registry.sessions import Session

UPLOADED = "uploaded"
EXISTING = "existing"
MOUNTED = "mounted"

_WORTH_ASKING = 1 << 20
"""Bytes from which a blob is asked for once more before it is sent: a request costs less."""


@dataclass(frozen=True)
class BlobReport:
    """What became of one blob; ``sent`` counts bytes on the wire, repeated ones included."""

    digest: Digest
    size: int
    outcome: str
    sent: int
    seconds: float


@dataclass(frozen=True)
class PushReport:
    """``layers`` from the lowest to the top. ``unchanged``: the very image was there already."""

    reference: Reference
    digest: Digest
    layers: tuple[BlobReport, ...]
    config: BlobReport
    unchanged: bool
    seconds: float

    @property
    def sent(self) -> int:
        """Bytes of blobs that went over the wire."""
        return self.config.sent + sum(layer.sent for layer in self.layers)


@dataclass(frozen=True)
class Blob:
    """A blob to be there before the manifest; ``source`` is where it can be mounted from.

    Whether it is there already is ``asked``, unless the registry was found not to know. What
    ``begun`` gives is an upload that was begun for whatever comes: then a small blob is new.
    """

    descriptor: Descriptor
    opener: Callable[[], BinaryIO]
    source: str = ""
    asked: bool = True
    begun: Callable[[], Session | None] | None = None


def push_image(
    registry: Registry,
    image: Image,
    reference: Reference,
    *,
    parallel: int = 4,
    progress: Progress | None = None,
    early: EarlyUploads | None = None,
) -> PushReport:
    """Make ``reference`` name ``image``. If this raises, the tag is as it was.

    ``early`` is what was begun before there was an image; it is finished here.

    Raises RegistryError and its kinds, StorageError (a layer is not what its digest says) and
    what a layer's stream raises.
    """
    _check(registry, image, reference)
    began = time.monotonic()
    repository = reference.repository
    registry.expect_push(repository)
    digest, known = early.what_is_there() if early else what_is_there(registry, reference)
    blobs = _blobs(registry, image, repository)
    unchanged = digest == image.digest
    if unchanged:
        known = set(blobs)
    shown = progress or Silent()
    reports = {
        d: BlobReport(d, blob.descriptor.size, EXISTING, 0, 0.0)
        for d, blob in blobs.items()
        if d in known
    }
    wanted = [blob for d, blob in blobs.items() if d not in reports]
    brought: Mapping[Digest, BlobReport] = {}
    if early:
        config = image.config_descriptor
        others = [
            replace(blob, begun=early.take_session) if blob.descriptor == config else blob
            for blob in wanted
            if not early.was_offered(blob.descriptor.digest)
        ]
        reports |= _ensure(registry, repository, others, parallel, shown)
        brought = early.finish()
        reports |= brought
        wanted = [blob for blob in wanted if blob.descriptor.digest not in reports]
    reports |= _ensure(registry, repository, wanted, parallel, shown)
    if not unchanged:
        try:
            _put(registry, image, reference)
        except RegistryError as error:
            sent = {d for d, report in reports.items() if report.outcome == UPLOADED}
            believed = (set(reports) - sent) | set(brought)
            missing = _missing(registry, repository, believed, error)
            if not missing:
                raise
            again = [replace(blob, asked=False) for d, blob in blobs.items() if d in missing]
            reports |= _ensure(registry, repository, again, parallel, shown)
            _put(registry, image, reference)
    return PushReport(
        reference.with_digest(image.digest),
        image.digest,
        tuple(reports[layer.descriptor.digest] for layer in image.layers),
        reports[image.config_descriptor.digest],
        unchanged,
        time.monotonic() - began,
    )


def _check(registry: Registry, image: Image, reference: Reference) -> None:
    if reference.registry != registry.host:
        raise UsageError(f"{reference} is not on the registry {registry.host}")
    if reference.digest and reference.digest != image.digest:
        raise UsageError(
            f"{reference} names another image than the one to push, {image.digest}",
            next_step="push to a tag",
        )


def what_is_there(registry: Registry, reference: Reference) -> tuple[Digest | None, set[Digest]]:
    """The digest that has the tag, and the blobs that it proves to be in the repository."""
    try:
        fetched = registry.get_manifest(reference.repository, reference.identifier)
    except NotFoundError:
        return None, set()
    if fetched.is_index:
        return fetched.digest, set()
    try:
        manifest = parse_manifest(fetched.raw, fetched.media_type)
    except RegistryError:
        # Something older than we can read has the tag; it is going to be replaced.
        return fetched.digest, set()
    return fetched.digest, {d.digest for d in (manifest.config, *manifest.layers)}


def _blobs(registry: Registry, image: Image, repository: str) -> dict[Digest, Blob]:
    """Everything the manifest names, once each, the largest first."""
    found = {
        layer.descriptor.digest: Blob(
            layer.descriptor, layer.open, _mountable(registry, layer, repository)
        )
        for layer in image.layers
    }
    config = image.config_descriptor
    found[config.digest] = Blob(config, lambda: BytesIO(image.raw_config))
    return dict(sorted(found.items(), key=lambda item: -item[1].descriptor.size))


def _mountable(registry: Registry, layer: Layer, repository: str) -> str:
    if isinstance(layer, RegistryLayer) and layer.registry.host == registry.host:
        return layer.repository if layer.repository != repository else ""
    return ""


def _ensure(
    registry: Registry,
    repository: str,
    blobs: list[Blob],
    parallel: int,
    progress: Progress,
) -> dict[Digest, BlobReport]:
    """See to it that every blob is there; several at a time, the first error ends them all."""

    def one(blob: Blob, stop: Stop) -> BlobReport:
        return bring(registry, repository, blob, progress, stop)

    reports = run_all(blobs, one, parallel) if blobs else []
    return {report.digest: report for report in reports}


def bring(
    registry: Registry, repository: str, blob: Blob, progress: Progress, stop: Stop
) -> BlobReport:
    """See to it that one blob is there. Raises StoppedError, and what :func:`push_image` does."""
    descriptor = blob.descriptor
    stop.check()
    began = time.monotonic()
    task = progress.start(f"push {descriptor.digest[7:19]}", descriptor.size)
    outcome, sent = _bring(registry, repository, blob, task, stop)
    task.done("" if outcome == UPLOADED else outcome)
    seconds = time.monotonic() - began
    return BlobReport(descriptor.digest, descriptor.size, outcome, sent, seconds)


def _bring(
    registry: Registry, repository: str, blob: Blob, task: Task, stop: Stop
) -> tuple[str, int]:
    from uaitrain.registry.sessions import begin, cancel, remembered
    from uaitrain.registry.upload import upload_blob

    descriptor, session = blob.descriptor, None

    def advance(amount: int) -> None:
        stop.check()
        task.advance(amount)

    with remembered(registry, repository, descriptor) as memory:
        if blob.asked and memory.recall() is None:
            session = blob.begun() if blob.begun else None
            if session is None:
                place = (descriptor.digest, blob.source or repository)
                session = begin(registry, repository, place)
            if session is None:
                return MOUNTED if blob.source else EXISTING, 0
            # Registries that mount nothing start an upload for everything.
            is_large = descriptor.size > _WORTH_ASKING
            if is_large and registry.head_blob(repository, descriptor.digest, descriptor.size):
                cancel(registry, repository, session)
                return EXISTING, 0
        sent = upload_blob(
            registry,
            repository,
            descriptor,
            blob.opener,
            session=session,
            memory=memory,
            advance=advance,
        )
    return UPLOADED if sent or not descriptor.size else EXISTING, sent


def _put(registry: Registry, image: Image, reference: Reference) -> None:
    identifier = reference.tag or image.digest
    registry.put_manifest(reference.repository, identifier, image.raw_manifest, image.media_type)


def _missing(
    registry: Registry, repository: str, believed: set[Digest], error: RegistryError
) -> set[Digest]:
    """Which of the blobs that the registry said it had are missing after all.

    The registry names them; else they are asked for one by one, and where that gives nothing
    either, but blobs are missing, all of them are sent.
    """
    named = error.digests if isinstance(error, MissingBlobsError) else frozenset()
    if named & believed:
        return {digest for digest in believed if digest in named}
    try:
        gone = {digest for digest in believed if not registry.head_blob(repository, digest)}
    except UaitrainError:
        return set()
    return gone or (believed if isinstance(error, MissingBlobsError) else set())
