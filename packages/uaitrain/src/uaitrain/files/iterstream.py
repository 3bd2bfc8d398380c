"""An iterator of byte chunks as a file that can be read once."""

from __future__ import annotations

import io
from collections.abc import Iterator

from uaitrain.typed import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


class _IteratorStream(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(cast(bytearray, buffer)).cast("B")
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close:
            close()
        super().close()


def as_file(chunks: Iterator[bytes]) -> BinaryIO:
    """Closing the file closes the iterator, too."""
    return cast("BinaryIO", io.BufferedReader(_IteratorStream(chunks), 1 << 18))
