"""Recognise LMDB, LevelDB and HDF5 on disk without their libraries.

LMDB's meta pages: lmdb.h and mdb.c of OpenLDAP (MDB_meta, 64-bit layout). LevelDB: its
doc/impl.md. HDF5: format specification, section II.A (the signature at 0, 512, 1024 …).
"""

from __future__ import annotations

import struct
from pathlib import Path

from uaitrain.values import dataclass

LMDB_FILE = "data.mdb"
LMDB_MAGIC = 0xBEEFC0DE
PAGE_HEADER_BYTES = 16
META = struct.Struct("<IIQQ")
DATABASE = struct.Struct("<IHHQQQQQ")
META_TAIL = struct.Struct("<QQ")
META_BYTES = META.size + 2 * DATABASE.size + META_TAIL.size
PAGE_SIZES = (4096, 8192, 16384, 32768, 65536, 2048, 1024, 512)

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HDF5_OFFSETS = (0, 512, 1024, 2048, 4096)

LMDB = "LMDB"
LEVELDB = "LEVELDB"


@dataclass(frozen=True)
class Lmdb:
    """``entries`` are records; ``needed_bytes`` is how long the file has to be."""

    entries: int
    needed_bytes: int
    size: int


def backend(folder: Path) -> str | None:
    """:data:`LMDB` or :data:`LEVELDB` by the files in the folder, None for neither."""
    if (folder / LMDB_FILE).is_file():
        return LMDB
    if (folder / "CURRENT").is_file():
        return LEVELDB
    return None


def lmdb(folder: Path) -> Lmdb | None:
    """The newer meta page of the folder's data.mdb; None where there is no sound one.

    Raises OSError.
    """
    path = folder / LMDB_FILE
    with path.open("rb") as file:
        head = file.read(2 * max(PAGE_SIZES))
    size = path.stat().st_size
    first = _meta(head, 0)
    if first is None:
        return None
    page_size, *_ = first
    second = _meta(head, page_size) if page_size in PAGE_SIZES else None
    page, entries, last_page, _ = max(first, second or first, key=lambda meta: meta[3])
    return Lmdb(entries, (last_page + 1) * page, size)


def _meta(head: bytes, offset: int) -> tuple[int, int, int, int] | None:
    """Page size, entries of the main database, last page used, transaction."""
    start = offset + PAGE_HEADER_BYTES
    if len(head) < start + META_BYTES:
        return None
    magic, _version, _address, _map_size = META.unpack_from(head, start)
    if magic != LMDB_MAGIC:
        return None
    free = DATABASE.unpack_from(head, start + META.size)
    main = DATABASE.unpack_from(head, start + META.size + DATABASE.size)
    last_page, transaction = META_TAIL.unpack_from(head, start + META.size + 2 * DATABASE.size)
    return free[0], main[6], last_page, transaction


def leveldb_fault(folder: Path) -> str:
    """What is wrong with a LevelDB folder, or nothing. Raises OSError."""
    current = (folder / "CURRENT").read_bytes()[:256].decode("utf-8", "replace").strip()
    if not current.startswith("MANIFEST-") or "/" in current:
        return f"CURRENT names no manifest: {current[:40]!r}"
    if not (folder / current).is_file():
        return f"CURRENT names {current}, which is missing"
    tables = [path for path in folder.iterdir() if path.suffix in (".ldb", ".sst", ".log")]
    return "" if any(path.stat().st_size for path in tables) else "no table and no log in it"


def is_hdf5(path: Path) -> bool:
    """Raises OSError."""
    with path.open("rb") as file:
        head = file.read(max(HDF5_OFFSETS) + len(HDF5_SIGNATURE))
    return any(head[at : at + len(HDF5_SIGNATURE)] == HDF5_SIGNATURE for at in HDF5_OFFSETS)
