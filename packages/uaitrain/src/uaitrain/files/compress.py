"""How a layer's tar becomes the blob that is stored and sent.

gzip (RFC 1952) by ISA-L, because Docker 20.10 reads no other compression; plain tar where
compression gains nothing, as for most weights files (docs/decisions/0001-isal.md).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from uaitrain.files.inventory import Entry
from uaitrain.files.plan import LARGE_BYTES, LayerPlan

LEVEL = 2
WORTH_IT = 0.9
"""A large file is compressed only when a sample shrinks below this share."""

_GZIP_WINDOW = 31
_SAMPLES = 16
_SAMPLE_BYTES = 64 << 10


@cache
def library_version() -> str:
    """What tells one version of the library from another, whose bytes may differ.

    Read from its files, because loading it takes longer than all else that a pack of known layers
    does here.
    """
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("isal")
    if spec and spec.origin:
        with contextlib.suppress(OSError):
            return Path(spec.origin).with_name("_version.py").read_text(encoding="utf-8")
    from isal import __version__

    return __version__


def gzip_stream(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The gzip file of ``chunks``: no name, no time, so same input, same bytes."""
    from isal import isal_zlib

    compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
    for chunk in chunks:
        if packed := compressor.compress(chunk):
            yield packed
    yield compressor.flush()


def is_worth_compressing(root: Path, plan: LayerPlan) -> bool:
    """Decided by the content alone, so that the same file gives the same blob everywhere."""
    if len(plan.entries) != 1 or plan.entries[0].size < LARGE_BYTES:
        return True
    return _shrinks(root, plan.entries[0])


def _shrinks(root: Path, entry: Entry) -> bool:
    from isal import isal_zlib

    taken = packed = 0
    try:
        with (root / entry.path).open("rb", buffering=0) as file:
            for number in range(_SAMPLES):
                offset = (entry.size - _SAMPLE_BYTES) * number // (_SAMPLES - 1)
                sample = os.pread(file.fileno(), _SAMPLE_BYTES, offset)
                taken += len(sample)
                packed += len(isal_zlib.compress(sample, LEVEL))
    except OSError:
        return False  # the read that follows meets the same error and reports it
    return packed < taken * WORTH_IT
