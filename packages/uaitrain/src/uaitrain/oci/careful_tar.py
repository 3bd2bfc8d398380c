"""Tars from strangers, read without ever holding more than a bounded part of them.

Python's ``tarfile`` reads a pax or GNU header whole, however long it says it is, and a sparse
file's map likewise: both are bounded here before it does.
"""

from __future__ import annotations

import tarfile

MAX_HEADER_BYTES = 1 << 20
"""Of one pax or GNU header: a path has at most 4096 bytes, extended attributes 64 KB each."""

MAX_ENTRIES = 1_000_000
"""Of one image, all layers together; each takes some hundred bytes of memory."""

_LONG = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


class CarefulTarInfo(tarfile.TarInfo):
    """Give it to ``tarfile.open(tarinfo=...)``. Refusals are ``tarfile.ReadError``."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0:
            raise tarfile.ReadError("an entry has a negative size")
        if self.type in _LONG and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file, which no image layer needs")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc] # tarfile's hook
        return found
