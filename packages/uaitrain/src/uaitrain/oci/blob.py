"""Write a blob's bytes and know at the end whether they are the right ones."""

from __future__ import annotations

from uaitrain.errors import DigestError
from uaitrain.oci.descriptor import Descriptor
from uaitrain.oci.digest import Digest, verify
from uaitrain.sha256 import UNKNOWN, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

CHUNK = 1 << 20
"""Bytes moved at a time."""


class Verifier:
    """Passes bytes on to ``target`` and counts and hashes them."""

    def __init__(self, target: BinaryIO | None = None) -> None:
        self._target = target
        self._hash = sha256(size=UNKNOWN)
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        if self._target is not None:
            self._target.write(data)
        return len(data)

    @property
    def digest(self) -> Digest:
        return Digest("sha256:" + self._hash.hexdigest())

    def check(self, expected: Descriptor, what: str) -> None:
        """Raises DigestError unless exactly the bytes that ``expected`` names went through."""
        if self.size != expected.size:
            raise DigestError(
                f"{what}: {expected.digest} has {self.size} bytes, expected {expected.size}",
                next_step="they were damaged on the way or at the source; try again",
            )
        verify(expected.digest, self.digest, what)
