"""Zip archives without compression: the same files give the same bytes, everywhere.

The format is PKWARE's APPNOTE 6.3.10, as far as it is needed: local headers, the central directory
and its end. The standard library's ``zipfile`` reads it, and loads every compression to write it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION, _UNIX = 20, 3 << 8
_UTF8 = 0x800
_DATE = 1 << 5 | 1
"""1980-01-01, the first day that a zip can name; its time is 0."""

_MODE = 0o100644 << 16
_MOST = 0xFFFF


def stored(files: Mapping[str, bytes]) -> bytes:
    """An archive of ``files`` by their names, in their order. Raises ValueError beyond 65,535
    files or 4 GiB, which a plain zip cannot hold.
    """
    parts: list[bytes] = []
    central: list[bytes] = []
    offset = 0
    for name, data in files.items():
        encoded = name.encode()
        flags = 0 if name.isascii() else _UTF8
        sizes = (zlib.crc32(data), len(data), len(data))
        try:
            local = _LOCAL.pack(b"PK\3\4", _VERSION, flags, 0, 0, _DATE, *sizes, len(encoded), 0)
            central.append(
                _CENTRAL.pack(
                    b"PK\1\2",
                    _VERSION | _UNIX,
                    _VERSION,
                    flags,
                    0,
                    0,
                    _DATE,
                    *sizes,
                    len(encoded),
                    0,
                    0,
                    0,
                    0,
                    _MODE,
                    offset,
                )
                + encoded
            )
        except struct.error:
            raise ValueError(f"{name} is too much for a plain zip") from None
        parts += [local, encoded, data]
        offset += len(local) + len(encoded) + len(data)
    directory = b"".join(central)
    count = len(files)
    if count > _MOST or offset + len(directory) >= 1 << 32:
        raise ValueError("too much for a plain zip")
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), offset, 0)
    return b"".join([*parts, directory, end])
