"""What is packed: three folders of training code, the same bytes for everybody who makes them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

SOLVER = """\
net: "/data/net.prototxt"
base_lr: 0.01
lr_policy: "fixed"
display: 5
max_iter: 10
snapshot_prefix: "/data/output/small"
solver_mode: CPU
"""
NET = """\
name: "small"
layer {
  name: "numbers" type: "DummyData" top: "data" top: "label"
  dummy_data_param {
    shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 }
    data_filler { type: "gaussian" } data_filler { type: "constant" }
  }
}
layer {
  name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 1 weight_filler { type: "xavier" } }
}
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
EDITED = "model_03.py"
"""The code file that every work has and that the case "edited" changes."""

_SEED = 20180621
_MANY_FILES, _MANY_BYTES, _MANY_FOLDERS = 10_000, 120_000_000, 100
_WEIGHTS_BYTES, _COMPRESSIBLE_BYTES, _WEIGHT_FILES = 1 << 30, 200_000_000, 4
_PIECE = 1 << 20
_SPARSE = bytes(value if value < 64 else 0 for value in range(256))
"""Three bytes in four become zero: what pruned or quantised weights look like to gzip."""


@dataclass(frozen=True)
class Work:
    """``code`` is the folder to pack, inside ``folder``; ``files`` its paths and sizes."""

    name: str
    folder: Path

    @property
    def code(self) -> Path:
        return self.folder / "code"

    def edit(self, number: int) -> None:
        """Change the one code file: the same length, other bytes."""
        path = self.code / EDITED
        first, _, rest = path.read_bytes().partition(b"\n")
        path.write_bytes(f"NUMBER = {number:06}".encode().ljust(len(first)) + b"\n" + rest)

    def files(self) -> dict[str, int]:
        paths = (path for path in self.code.rglob("*") if path.is_file())
        return {str(path.relative_to(self.code)): path.stat().st_size for path in paths}


def a_small(folder: Path) -> Work:
    """10 files, 60 KB: a script, its solver and net, and a few modules."""
    return _start("A-small", folder, modules=7, total=60_000)


def b_many(folder: Path) -> Work:
    """10,000 files, 120 MB: half program text, half pictures that do not shrink."""
    work = _start("B-many", folder, modules=7, total=60_000)
    source = random.Random(_SEED + 1)  # noqa: S311 - data for a measurement
    corpus = _text(source, 4_000_000)
    left = _MANY_FILES - len(work.files())
    mean = (_MANY_BYTES - 60_000) // left
    for number in range(left):
        size = mean + (number % 200 - 100) * mean // 125
        place = work.code / f"part_{number % _MANY_FOLDERS:02}"
        place.mkdir(exist_ok=True)
        if number % 2:
            (place / f"picture_{number:05}.bin").write_bytes(source.randbytes(size))
        else:
            start = source.randrange(len(corpus) - size)
            (place / f"module_{number:05}.py").write_bytes(corpus[start : start + size])
    return work


def c_large(folder: Path) -> Work:
    """20 code files beside 1 GiB of weights, of which 200 MB shrink."""
    work = _start("C-large", folder, modules=17, total=120_000)
    source = random.Random(_SEED + 2)  # noqa: S311 - data for a measurement
    each = (_WEIGHTS_BYTES - _COMPRESSIBLE_BYTES) // _WEIGHT_FILES
    for number in range(_WEIGHT_FILES):
        _weights(work.code / f"weights_{number}.bin", source, each)
    _weights(work.code / "weights_sparse.bin", source, _COMPRESSIBLE_BYTES, _SPARSE)
    return work


WORKS = {"A-small": a_small, "B-many": b_many, "C-large": c_large}


def _start(name: str, folder: Path, *, modules: int, total: int) -> Work:
    work = Work(name, folder)
    for part in ("code", "data", "output"):
        (folder / part).mkdir(parents=True)
    source = random.Random(_SEED)  # noqa: S311 - data for a measurement
    (work.code / "solver.prototxt").write_text(SOLVER)
    (work.code / "net.prototxt").write_text(NET)
    each = (total - len(SOLVER) - len(NET)) // (modules + 1)
    names = ["train.py", *(f"model_{number:02}.py" for number in range(modules))]
    for name in names:
        (work.code / name).write_bytes(b"NUMBER = 000000\n" + _text(source, each - 16))
    return work


def _text(source: random.Random, size: int) -> bytes:
    """Valid Python of exactly ``size`` bytes that shrinks about as program text does."""
    letters = "etaoinsrhldcumfpgwybv"
    words = ["".join(source.choices(letters, k=source.randint(3, 10))) for _ in range(2000)]
    lines, length = [], 0
    while length < size:
        a, b, c = source.choices(words, k=3)
        line = f"v_{a} = '{b}', {source.randrange(10**6)}, '{c}'\n".encode()
        lines.append(line)
        length += len(line)
    text = b"".join(lines)[:size]
    # The last line may be cut: make it a comment.
    whole, end, _ = text.rpartition(b"\n")
    return (whole + end).ljust(size - 1, b"#") + b"\n" if whole else b"#" * size


def _weights(path: Path, source: random.Random, size: int, table: bytes | None = None) -> None:
    with path.open("wb") as file:
        for offset in range(0, size, _PIECE):
            piece = source.randbytes(min(_PIECE, size - offset))
            file.write(piece.translate(table) if table else piece)
