"""Layers on their way to a registry while others are still being made.

Making a layer takes the processor, sending it the network and the registry's disk. What was sent
early is only a blob that nothing names: the tag changes at the end, as always, and what failed
here is sent again there, where errors are told.
"""

from __future__ import annotations

import queue
import threading

from uaitrain.errors import UaitrainError
from uaitrain.registry.push import Blob, BlobReport, bring
from uaitrain.registry.teamwork import Stop, StoppedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.oci.digest import Digest
    from uaitrain.oci.layer import Layer
    from uaitrain.progress import Progress
    from uaitrain.registry.client import Registry

_THREADS = 2
_GRACE_SECONDS = 5.0


class EarlyUploads:
    """Sends what is :meth:`offer`\\ ed to ``repository``, in threads that start with the first."""

    def __init__(self, registry: Registry, repository: str, progress: Progress) -> None:
        self._registry, self._repository, self._progress = registry, repository, progress
        self._waiting: queue.SimpleQueue[Layer | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stop = Stop()
        self._reports: dict[Digest, BlobReport] = {}

    def offer(self, layer: Layer) -> None:
        """``layer`` can be opened, and will be part of the image."""
        self._waiting.put(layer)
        if len(self._threads) < _THREADS:
            thread = threading.Thread(target=self._work, daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self) -> dict[Digest, BlobReport]:
        """Wait for the rest; what became of each layer that is there now."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        return self._reports

    def abandon(self) -> None:
        """There will be no image: end at the next piece."""
        self._stop.set()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(_GRACE_SECONDS)

    def _work(self) -> None:
        while (layer := self._waiting.get()) is not None:
            try:
                blob = Blob(layer.descriptor, layer.open)
                report = bring(self._registry, self._repository, blob, self._progress, self._stop)
            except StoppedError:
                return
            except UaitrainError:
                continue  # the push tries again, and tells
            self._reports[report.digest] = report
