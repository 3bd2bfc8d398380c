"""A blob as a stream: resumed after a broken connection, verified before its end."""

from __future__ import annotations

import io

from uaitrain.errors import DigestError
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest, verify
from uaitrain.registry.failures import SilentError, TransientError
from uaitrain.registry.patience import SLOWEST_PIECE
from uaitrain.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from uaitrain.registry.client import Registry
    from uaitrain.registry.wire import Answer


class BlobReader(io.RawIOBase):
    """Reads ``descriptor``'s blob; the last bytes come only after size and digest proved right.

    Raises DigestError, TransientError (given up after the transport's attempts), NotFoundError.
    """

    def __init__(self, registry: Registry, repository: str, descriptor: Descriptor) -> None:
        super().__init__()
        self._registry = registry
        self._repository = repository
        self._descriptor = descriptor
        self._what = f"blob {descriptor.digest} of {registry.host}/{repository}"
        self._hash = sha256(size=descriptor.size)
        self._received = 0
        self._verified = False
        self._silent = False
        self._piece = 0
        self._answer: Answer | None = None
        self._backoff = registry.transport.backoff()

    def readable(self) -> bool:
        return True

    # Any stands for "a writable buffer", which typing cannot name for Python 3.11.
    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = b"" if self._verified or not len(view) else self._more(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._drop()
        super().close()

    def _more(self, amount: int) -> bytes:
        while True:
            try:
                answer = self._answer = self._answer or self._ask()
                data = answer.read(amount)
            except TransientError as error:
                self._drop()
                again = self._silent and isinstance(error, SilentError)
                self._silent = isinstance(error, SilentError)
                if again or not self._backoff.pause(error.wait):
                    raise
                continue
            self._note_progress(len(data))
            self._hash.update(data)
            self._received += len(data)
            if not data or self._received >= self._descriptor.size:
                self._finish(answer)
            return data

    def _note_progress(self, amount: int) -> None:
        """Attempts are counted anew when a piece came: who sends a byte a connection has none."""
        self._piece += amount
        if self._piece >= SLOWEST_PIECE:
            self._piece, self._silent = 0, False
            self._backoff.reset()

    def _finish(self, answer: Answer) -> None:
        if self._received != self._descriptor.size or self._goes_on(answer):
            self._drop()
            raise DigestError(
                f"{self._what}: {self._received} bytes or more came, "
                f"expected {self._descriptor.size}",
                next_step="the registry's copy is damaged: push or build that image again",
            )
        self._drop()
        verify(self._descriptor.digest, Digest("sha256:" + self._hash.hexdigest()), self._what)
        self._verified = True

    @staticmethod
    def _goes_on(answer: Answer) -> bool:
        """Whether the blob is longer than its descriptor says."""
        try:
            return bool(answer.read(1))
        except TransientError:
            return False

    def _ask(self) -> Answer:
        headers = {"Accept": "*/*"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-{self._descriptor.size - 1}"
        answer = self._registry.call(
            "GET",
            f"/v2/{self._repository}/blobs/{self._descriptor.digest}",
            self._repository,
            headers=headers,
            expect=(200, 206),
            stream=True,
            doing=f"pull {self._what}",
        )
        if self._received and answer.status == 200:
            self._skip(answer)
        return answer

    def _skip(self, answer: Answer) -> None:
        """Past what we have, for a registry that does not know Range."""
        from uaitrain.registry.wire import CHUNK

        left = self._received
        while left:
            data = answer.read(min(CHUNK, left))
            if not data:
                raise TransientError(f"{self._what}: the second answer is shorter than the first")
            left -= len(data)

    def _drop(self) -> None:
        if self._answer:
            self._answer.close()
            self._answer = None
