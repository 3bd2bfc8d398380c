"""Which compression for image layers: speed and ratio of the candidates on the same tar.

    bench/compression.py [--with] FOLDER...     default: what Debian puts into python3 and perl

Candidates that are not installed are left out; with --with they are fetched into an environment
that is removed at the end. Behind docs/decisions/0001-isal.md.
"""

from __future__ import annotations

import argparse
import importlib
import io
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from isal import isal_zlib

FOLDERS = (Path("/usr/share/perl"), Path("/usr/lib/python3"))
PACKAGES = ("isal", "zlib-ng", "zstandard")
ROUNDS = 3
_CHUNK = 1 << 20
_GZIP = 31


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", default=FOLDERS)
    parser.add_argument("--with", action="store_true", dest="fetch", help="fetch the candidates")
    arguments = parser.parse_args()
    if arguments.fetch:
        sys.exit(_in_own_environment([str(folder) for folder in arguments.folders]))
    data = _tar(arguments.folders)
    print(f"a tar of {len(data) / 1e6:.0f} MB, best of {ROUNDS}\n")
    print("| library | level | MB/s | ratio |\n| --- | ---: | ---: | ---: |")
    for name, level, compress in _candidates():
        seconds, size = _measure(compress, data)
        print(f"| {name} | {level} | {len(data) / 1e6 / seconds:.0f} | {size / len(data):.3f} |")


def _in_own_environment(folders: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="uaitrain-bench-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        return subprocess.run([python, __file__, *folders], check=False).returncode


def _tar(folders: tuple[Path, ...]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in folders:
            tar.add(folder)
    return buffer.getvalue()


def _candidates() -> Iterator[tuple[str, int, Callable[[], Any]]]:
    for level in (0, 1, 2, 3):
        yield "isal", level, partial(isal_zlib.compressobj, level, isal_zlib.DEFLATED, _GZIP)
    try:
        zlib_ng = importlib.import_module("zlib_ng.zlib_ng")
    except ImportError:
        print("without zlib-ng: not installed", file=sys.stderr)
    else:
        for level in (1, 2, 6):
            yield "zlib-ng", level, partial(zlib_ng.compressobj, level, zlib.DEFLATED, _GZIP)
    for level in (1, 6):
        yield "zlib", level, partial(zlib.compressobj, level, zlib.DEFLATED, _GZIP)
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        print("without zstandard: not installed", file=sys.stderr)
    else:
        for level in (1, 3):
            yield "zstd", level, zstandard.ZstdCompressor(level).compressobj


def _measure(make: Callable[[], Any], data: bytes) -> tuple[float, int]:
    """The best time in seconds, and the size."""
    view = memoryview(data)
    best, size = float("inf"), 0
    for _ in range(ROUNDS):
        compressor = make()
        began = time.perf_counter()
        size = sum(
            len(compressor.compress(view[at : at + _CHUNK])) for at in range(0, len(data), _CHUNK)
        )
        size += len(compressor.flush())
        best = min(best, time.perf_counter() - began)
    return best, size


if __name__ == "__main__":
    main()
