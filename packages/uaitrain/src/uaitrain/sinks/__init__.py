"""Where a finished image goes: a registry, an engine's store, an OCI layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from uaitrain.oci.image import Image
from uaitrain.oci.reference import Reference
from uaitrain.progress import Progress


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


class Sink(Protocol):
    def put(self, image: Image, reference: Reference, progress: Progress) -> SinkReport:
        """Store ``image`` under ``reference``, whole or not at all. Raises UaitrainError."""
