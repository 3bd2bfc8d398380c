"""SHA-256: OpenSSL's for much data, the interpreter's own for little.

OpenSSL hashes eight times as fast and releases the interpreter's lock; loading it takes as long as
hashing half a megabyte without it, which many packs never do.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import _Hash

_OWN = "_sha2" if sys.version_info >= (3, 12) else "_sha256"

LITTLE_BYTES = 512 * 1024
UNKNOWN = LITTLE_BYTES + 1
"""The size of what may be large."""


def sha256(data: bytes = b"", *, size: int = 0) -> _Hash:
    """A hash object that has taken ``data``; about ``size`` bytes more are to follow."""
    if size + len(data) <= LITTLE_BYTES and "_hashlib" not in sys.modules:
        try:
            return _own(data)
        except ImportError:
            pass
    import hashlib

    return hashlib.sha256(data)


def _own(data: bytes) -> _Hash:
    """Raises ImportError for a Python that was built without it."""
    own: _Hash = __import__(_OWN).sha256(data)
    return own
