"""Whether an LMDB's file is whole.

LMDB maps its file. Reading a page behind the end of a file that was cut short kills the process
(SIGBUS), so the file is judged before anything is read. The layout is LMDB's own (lmdb.h, mdb.c,
data version 1): two meta pages, of which the one with the larger transaction number counts, and a
tree of pages.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_PAGE_HEADER = struct.Struct("<QHHHH")
_HEADER_BYTES = 16
_NODE = struct.Struct("<HHHH")
# Behind the header of a meta page: magic, version, address, map size; two trees (free pages, main)
# of 48 bytes; last page, transaction.
_META = struct.Struct("<IIQQ")
_TREE = struct.Struct("<IHHQQQQQ")
_TAIL = struct.Struct("<QQ")
_META_BYTES = _META.size + 2 * _TREE.size + _TAIL.size
_NO_PAGE = 2**64 - 1
_BRANCH, _LEAF, _BIG_DATA = 1, 2, 1


class _Meta(NamedTuple):
    page_bytes: int
    root: int
    last_page: int
    transaction: int


def damage(path: Path) -> str:
    """What is wrong with the data file at ``path``; empty when nothing is. Raises OSError."""
    with path.open("rb") as file:
        size = path.stat().st_size
        first = _read_meta(file.read(_HEADER_BYTES + _META_BYTES))
        if first is None:
            return "is not an LMDB"
        file.seek(first.page_bytes)
        second = _read_meta(file.read(_HEADER_BYTES + _META_BYTES))
        if second is None:
            return f"is cut short: {size} bytes"
        meta = max(first, second, key=lambda each: each.transaction)
        needed = (meta.last_page + 1) * meta.page_bytes
        if size >= needed:
            return ""
        # Pages at the end may be free and never written; the file is whole without them.
        there = size // meta.page_bytes
        try:
            whole = all(page < there for page in _pages(file.fileno(), meta))
        except struct.error:
            whole = False
        if whole:
            return ""
        return f"is cut short: {size} bytes of {needed}"


def _read_meta(data: bytes) -> _Meta | None:
    if len(data) < _HEADER_BYTES + _META_BYTES:
        return None
    magic, version, _, _ = _META.unpack_from(data, _HEADER_BYTES)
    # The upper half of the version tells development versions apart, as in LMDB itself.
    if magic != _MAGIC or version & 0xFFFF != _VERSION:
        return None
    page_bytes = _TREE.unpack_from(data, _HEADER_BYTES + _META.size)[0]
    root = _TREE.unpack_from(data, _HEADER_BYTES + _META.size + _TREE.size)[-1]
    last_page, transaction = _TAIL.unpack_from(data, _HEADER_BYTES + _META_BYTES - _TAIL.size)
    if not 256 <= page_bytes <= 65536:
        return None
    return _Meta(page_bytes, root, last_page, transaction)


def _pages(file: int, meta: _Meta) -> Iterator[int]:
    """The last page of each run of pages that the main tree uses. Ends early behind the first
    that is outside the file, which is yielded too."""
    if meta.root == _NO_PAGE:
        return
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as data:
        there = len(data) // meta.page_bytes
        waiting = [meta.root]
        while waiting:
            number = waiting.pop()
            yield number
            if number >= there:
                return
            start = number * meta.page_bytes
            _, _, flags, lower, _ = _PAGE_HEADER.unpack_from(data, start)
            for index in range((lower - _HEADER_BYTES) // 2):
                (offset,) = struct.unpack_from("<H", data, start + _HEADER_BYTES + 2 * index)
                low, high, node_flags, key_bytes = _NODE.unpack_from(data, start + offset)
                if flags & _BRANCH:
                    waiting.append(low | high << 16 | node_flags << 32)
                elif flags & _LEAF and node_flags & _BIG_DATA:
                    place = start + offset + _NODE.size + key_bytes
                    (page,) = struct.unpack_from("<Q", data, place)
                    size = low | high << 16
                    yield page + (_HEADER_BYTES + size - 1) // meta.page_bytes
