"""A layer's bytes on their way out: counted, hashed and never more than was promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from uaitrain.atomic import storage_error
from uaitrain.errors import StorageError
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import hex_part
from uaitrain.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


class Outgoing:
    """Reads a blob from its start, whole, however often a part of it has to be sent.

    The last bytes are given out only when everything read had the promised size and digest, so
    that nobody can take a blob that is not what its digest says for complete.
    """

    def __init__(
        self,
        opener: Callable[[], BinaryIO],
        descriptor: Descriptor,
        chunk: int,
        advance: Callable[[int], None],
    ) -> None:
        self._opener = opener
        self._descriptor = descriptor
        self._chunk = chunk
        self._advance = advance
        self._stream: BinaryIO | None = None
        self._hash = sha256(size=self._descriptor.size)
        self._read = 0
        self._rest = b""
        self.sent = 0
        """All bytes ever given out, also those that were lost and sent again."""

    def part(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``end``. Raises StorageError and whatever
        the blob's own stream raises.
        """
        position = self._read - len(self._rest)
        if self._stream is None or start < position:
            self._reopen()
            position = 0
        while position < end:
            data = self._rest or self._next()
            self._rest = b""
            ahead = position + len(data)
            if ahead > end:
                data, self._rest = data[: end - position], data[end - position :]
            skipped = min(max(start - position, 0), len(data))
            position += len(data)
            if skipped < len(data):
                self.sent += len(data) - skipped
                yield data[skipped:] if skipped else data
                self._advance(len(data) - skipped)

    def close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None

    def _reopen(self) -> None:
        self.close()
        self._hash = sha256(size=self._descriptor.size)
        self._read, self._rest = 0, b""
        try:
            self._stream = self._opener()
        except OSError as error:
            raise self._unreadable(error) from None

    def _next(self) -> bytes:
        assert self._stream
        wanted = self._descriptor.size - self._read
        try:
            data = self._stream.read(min(self._chunk, wanted))
            if not data:
                raise self._changed(f"it has only {self._read} of {wanted + self._read} bytes")
            self._hash.update(data)
            self._read += len(data)
            if len(data) == wanted:
                if self._stream.read(1):
                    raise self._changed(f"it has more than {self._descriptor.size} bytes")
                if self._hash.hexdigest() != hex_part(self._descriptor.digest):
                    raise self._changed("its bytes are others")
        except OSError as error:
            raise self._unreadable(error) from None
        return data

    def _changed(self, how: str) -> StorageError:
        return StorageError(
            f"image layer {self._descriptor.digest} is not what its digest says: {how}; "
            "its file was damaged, or changed while it was packed",
            next_step="pack again; a damaged base is built anew by uaitrain base build --force",
        )

    def _unreadable(self, error: OSError) -> Exception:
        name = error.filename or f"image layer {self._descriptor.digest}"
        return storage_error(error, Path(str(name)), "read")
