"""A registry as a place for images."""

from __future__ import annotations

from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress
from uaitrain.sinks import SinkReport
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.registry.client import Registry
    from uaitrain.registry.early import EarlyUploads
    from uaitrain.registry.push import PushReport


@dataclass(frozen=True)
class RegistrySinkReport(SinkReport):
    """``push`` tells what became of each layer."""

    push: PushReport | None = None


@dataclass(frozen=True)
class RegistrySink:
    """Pushes through ``registry``, up to ``parallel`` blobs at a time."""

    registry: Registry
    parallel: int = 4
    early: EarlyUploads | None = None
    """What was begun before there was an image."""

    def put(self, image: Image, reference: Reference, progress: Progress) -> RegistrySinkReport:
        from uaitrain.registry import push

        report = push.push_image(
            self.registry,
            image,
            reference,
            parallel=self.parallel,
            progress=progress,
            early=self.early,
        )
        outcomes = [layer.outcome for layer in report.layers]
        return RegistrySinkReport(
            place=str(reference),
            sent=outcomes.count(push.UPLOADED),
            reused=outcomes.count(push.EXISTING),
            sent_bytes=report.sent,
            seconds=report.seconds,
            mounted=outcomes.count(push.MOUNTED),
            note="the very image was there already" if report.unchanged else "",
            push=report,
        )
