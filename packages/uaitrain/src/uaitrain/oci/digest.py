"""Content digests (OCI image-spec, descriptor.md#digests)."""

from __future__ import annotations

import re

from uaitrain.errors import DigestError, UsageError
from uaitrain.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NewType

    Digest = NewType("Digest", str)
else:
    Digest = str
"""``sha256:`` and 64 lower-case hexadecimal digits; made only by the functions below."""

_PATTERN = re.compile(r"sha256:[0-9a-f]{64}\Z")


def parse_digest(text: object) -> Digest:
    """Judge ``text`` once; only SHA-256 is accepted, as only it is required of every registry.

    Raises UsageError.
    """
    if not isinstance(text, str) or not _PATTERN.match(text):
        raise UsageError(
            f"not a digest: {str(text)[:100]!r}", allowed="sha256: and 64 hexadecimal digits"
        )
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    return Digest("sha256:" + sha256(data).hexdigest())


def hex_part(digest: Digest) -> str:
    return digest.partition(":")[2]


def verify(expected: Digest, actual: Digest, what: str) -> None:
    """Raises DigestError when the bytes of ``what`` are not those that ``expected`` names."""
    if expected != actual:
        raise DigestError(
            f"{what}: the bytes have digest {actual}, expected {expected}",
            next_step="they were damaged on the way or at the source; try again",
        )
