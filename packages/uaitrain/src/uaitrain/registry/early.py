"""Layers on their way to a registry while others are still being made.

Making a layer takes the processor, sending it the network and the registry's disk. What was sent
early is only a blob that nothing names: the tag changes at the end, as always, and what failed
here is sent again there, where errors are told.

Where a layer is to be made, it and the image's config will have to be sent: so the registry is
asked meanwhile what has the tag, and an upload is begun for each. A small pack is mostly such
waiting. An upload that nobody takes is cancelled.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from uaitrain.errors import UaitrainError
from uaitrain.oci.digest import Digest
from uaitrain.oci.reference import Reference
from uaitrain.registry.failures import TransientError
from uaitrain.registry.push import EXISTING, Blob, BlobReport, bring, what_is_there
from uaitrain.registry.sessions import Session, begin, cancel
from uaitrain.registry.teamwork import Stop, StoppedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from uaitrain.oci.layer import Layer
    from uaitrain.progress import Progress
    from uaitrain.registry.client import Registry

_MOST_THREADS = 3
_GRACE_SECONDS = 5.0


class EarlyUploads:
    """Sends what is :meth:`offer`\\ ed to the repository of ``reference``, in threads of its own.

    :meth:`finish` or :meth:`abandon` ends them.
    """

    def __init__(self, registry: Registry, reference: Reference, progress: Progress) -> None:
        self._registry, self._reference, self._progress = registry, reference, progress
        self._waiting: queue.SimpleQueue[Layer | None] = queue.SimpleQueue()
        self._stop = Stop()
        self._reports: dict[Digest, BlobReport] = {}
        self._offered: set[Digest] = set()
        self._failure: UaitrainError | None = None
        self._begun: queue.SimpleQueue[Session | None] = queue.SimpleQueue()
        self._workers = self._not_taken = 0
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._there: tuple[Digest | None, set[Digest]] | UaitrainError = (None, set())
        self._threads: list[threading.Thread] = []
        self._start(self._ask)
        self.expect()

    def expect(self) -> None:
        """One blob more will be new: begin an upload for it. The config's is begun already."""
        if self._workers < _MOST_THREADS:
            self._workers += 1
            with self._lock:
                self._not_taken += 1
            self._start(self._work)

    def offer(self, layer: Layer) -> None:
        """``layer`` can be opened, and will be part of the image."""
        self._offered.add(layer.descriptor.digest)
        self._waiting.put(layer)

    def was_offered(self, digest: Digest) -> bool:
        return digest in self._offered

    def what_is_there(self) -> tuple[Digest | None, set[Digest]]:
        """As :func:`push.what_is_there`, asked in the beginning. Raises what that raised."""
        self._asked.wait()
        if isinstance(self._there, UaitrainError):
            raise self._there
        return self._there

    def take_session(self) -> Session | None:
        """One of the uploads that were begun; None where there is none left, or none came about.

        Raises TransientError where the registry was tried as often as it may be.
        """
        with self._lock:
            if not self._not_taken:
                return None
            self._not_taken -= 1
        session = self._begun.get()
        if session is None and isinstance(self._failure, TransientError):
            raise self._failure
        return session

    def finish(self) -> dict[Digest, BlobReport]:
        """Wait for the rest; what became of each layer that is there now.

        Raises TransientError where the registry was tried as often as it may be.
        """
        self._end(None)
        if isinstance(self._failure, TransientError):
            raise self._failure
        return self._reports

    def abandon(self) -> None:
        """There will be no image: end at the next piece."""
        self._stop.set()
        self._end(_GRACE_SECONDS)

    def _end(self, seconds: float | None) -> None:
        for _ in range(self._workers):
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(seconds)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _ask(self) -> None:
        try:
            self._there = what_is_there(self._registry, self._reference)
        except UaitrainError as error:
            self._there = error
        finally:
            self._asked.set()

    def _begin(self) -> Session | None:
        try:
            return begin(self._registry, self._reference.repository)
        except UaitrainError as error:
            self._failure = error
            return None

    def _work(self) -> None:
        self._begun.put(self._begin())
        try:
            while (layer := self._waiting.get()) is not None:
                try:
                    report = self._bring(layer)
                except StoppedError:
                    return
                except UaitrainError as error:
                    # The push tries again, and tells; but not whom we have waited for already.
                    self._failure = error
                    continue
                self._reports[report.digest] = report
        finally:
            self._cancel_one()

    def _bring(self, layer: Layer) -> BlobReport:
        digest, size = layer.descriptor.digest, layer.descriptor.size
        if digest in self.what_is_there()[1]:
            return BlobReport(digest, size, EXISTING, 0, 0.0)
        blob = Blob(layer.descriptor, layer.open, begun=self.take_session)
        return bring(self._registry, self._reference.repository, blob, self._progress, self._stop)

    def _cancel_one(self) -> None:
        """Each thread has begun one upload, and cancels one if it was not needed."""
        try:
            session = self.take_session()
        except TransientError:
            return
        if session:
            cancel(self._registry, self._reference.repository, session)
