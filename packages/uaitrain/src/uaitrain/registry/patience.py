"""How long one answer may take, however the other side spreads it.

A time limit on each read alone is no bound: who sends a byte now and then would hold us for ever.
"""

from __future__ import annotations

import io
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

SLOWEST_PIECE = 64 * 1024
"""Bytes of a streamed body that have to come within one silence (60 s): 1 KB/s at least."""


class Patience:
    """``silence`` seconds for each read and ``whole`` seconds for all of them.

    Counted is only the time that reads wait for the other side, not what their caller does
    between them.
    """

    def __init__(self, silence: float, whole: float) -> None:
        self._silence = silence
        self._left = whole
        self._flows = False
        self._piece = 0

    def flow(self) -> None:
        """A long body follows: from now on it is enough that it goes on."""
        self._flows, self._piece, self._left = True, 0, self._silence

    def seconds(self) -> float:
        """The time limit of the next read. Raises TimeoutError where none is left."""
        if self._left <= 0:
            raise TimeoutError("too slow")
        return min(self._silence, self._left)

    def waited(self, seconds: float, received: int) -> None:
        self._left -= seconds
        self._piece += received
        if self._flows and self._piece >= SLOWEST_PIECE:
            self._piece, self._left = 0, self._silence


class Reading(io.RawIOBase):
    """A socket's bytes, as long as ``patience`` lasts. Holds the socket open until closed."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        super().__init__()
        self._source = sock.makefile("rb", buffering=0)
        self._sock = sock
        self._patience = patience

    def readable(self) -> bool:
        return True

    # Any stands for "a writable buffer", which typing cannot name for Python 3.11.
    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._patience.seconds())
        began = time.monotonic()
        count = self._source.readinto(buffer)
        self._patience.waited(time.monotonic() - began, count or 0)
        return count

    def close(self) -> None:
        self._source.close()
        super().close()
