"""Where a finished image goes: a registry, an engine's store, an OCI layout."""

from __future__ import annotations

from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress
from uaitrain.typed import Protocol
from uaitrain.units import human_bytes
from uaitrain.values import dataclass


@dataclass(frozen=True)
class SinkReport:
    """What putting an image somewhere took.

    ``sent``, ``reused`` and ``mounted`` count image layers; ``sent_bytes`` is what travelled for
    them. ``note`` is a remark for the user, or empty.
    """

    place: str
    sent: int
    reused: int
    sent_bytes: int
    seconds: float
    mounted: int = 0
    note: str = ""

    def __str__(self) -> str:
        """One line for people and for the log."""
        parts = [f"{self.sent} layers sent ({human_bytes(self.sent_bytes)})"]
        parts += [f"{self.mounted} mounted"] if self.mounted else []
        parts += [f"{self.reused} there already", f"{self.seconds:.1f} s"]
        return ", ".join(parts) + (f" ({self.note})" if self.note else "")


class Sink(Protocol):
    def put(self, image: Image, reference: Reference, progress: Progress) -> SinkReport:
        """Store ``image`` under ``reference``, whole or not at all. Raises UaitrainError."""
