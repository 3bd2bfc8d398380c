#!/usr/bin/env python3
"""Make the two LMDBs of this example from MNIST's four original files.

    python make_lmdb.py [FOLDER]        default: the data folder beside this script

FOLDER gets mnist_train_lmdb and mnist_test_lmdb: one Caffe Datum a key, keys in order. Finished
databases are left as they are; an interrupted run leaves nothing that looks finished.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
SETS = {
    "mnist_train_lmdb": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "mnist_test_lmdb": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
MAP_BYTES = 256 << 20


def read_verified(name: str) -> bytes:
    """The unpacked bytes of ``name``, whose digest must be the one in SHA256SUMS."""
    packed = (DATA / name).read_bytes()
    sums = {line.split()[1]: line.split()[0] for line in (DATA / "SHA256SUMS").open()}
    if hashlib.sha256(packed).hexdigest() != sums[name]:
        sys.exit(f"{DATA / name} is damaged: its SHA-256 is not the one in SHA256SUMS")
    return gzip.decompress(packed)


def read_images(name: str) -> tuple[list[bytes], int, int]:
    """The images of an idx3-ubyte file as ``rows * columns`` bytes each."""
    raw = read_verified(name)
    magic, count, rows, columns = struct.unpack(">4i", raw[:16])
    if magic != 2051:
        sys.exit(f"{name} is not an idx3-ubyte file: it begins with {magic}")
    size = rows * columns
    return [raw[16 + i * size : 16 + (i + 1) * size] for i in range(count)], rows, columns


def read_labels(name: str) -> bytes:
    raw = read_verified(name)
    magic, count = struct.unpack(">2i", raw[:8])
    if magic != 2049:
        sys.exit(f"{name} is not an idx1-ubyte file: it begins with {magic}")
    return raw[8 : 8 + count]


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def datum(image: bytes, label: int, rows: int, columns: int) -> bytes:
    """Caffe's Datum message: channels 1, height 2, width 3, data 4, label 5."""
    head = b"\x08\x01\x10" + varint(rows) + b"\x18" + varint(columns)
    return head + b"\x22" + varint(len(image)) + image + b"\x28" + varint(label)


def make(folder: Path, name: str) -> None:
    import lmdb

    images, rows, columns = read_images(SETS[name][0])
    labels = read_labels(SETS[name][1])
    part = folder / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    with (
        lmdb.open(str(part), map_size=MAP_BYTES) as environment,
        environment.begin(write=True) as t,
    ):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            t.put(b"%08d" % number, datum(image, label, rows, columns), append=True)
    part.rename(folder / name)
    print(f"{folder / name}: {len(images)} images of {rows} x {columns}")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    folder.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        if (folder / name).exists():
            print(f"{folder / name}: there already")
        else:
            make(folder, name)


if __name__ == "__main__":
    main()
