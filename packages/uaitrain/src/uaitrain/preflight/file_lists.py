"""The text lists that Caffe's layers read: images with labels, HDF5 files, windows."""

from __future__ import annotations

from pathlib import Path

from uaitrain.values import dataclass

LARGEST_LIST_BYTES = 256 << 20
MOST_LOOKED_AT = 200


@dataclass(frozen=True)
class Listed:
    """Names with their line (from 1), in order; ``fault`` of ``fault_line`` where one is wrong."""

    names: tuple[tuple[int, str], ...]
    fault_line: int = 0
    fault: str = ""


def sample(names: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    """The first, the last and evenly spaced ones between; at most 200."""
    if len(names) <= MOST_LOOKED_AT:
        return names
    step = (len(names) - 1) / (MOST_LOOKED_AT - 1)
    return tuple(names[round(index * step)] for index in range(MOST_LOOKED_AT))


def _lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        data = file.read(LARGEST_LIST_BYTES)
    return data.decode("utf-8", "surrogateescape").split("\n")


def plain(path: Path) -> Listed:
    """One name after the other, split at blanks as Caffe does. Raises OSError."""
    return Listed(
        tuple(
            (number, name) for number, line in enumerate(_lines(path), 1) for name in line.split()
        )
    )


def images(path: Path) -> Listed:
    """``<path> <label>``: the label is behind the last blank. Raises OSError."""
    names: list[tuple[int, str]] = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        name, _, label = line.rstrip("\r").rpartition(" ")
        try:
            int(label)
        except ValueError:
            return Listed((), number, f"no label behind the file name: {line[:80]!r}")
        if not name:
            return Listed((), number, f"no file name before the label: {line[:80]!r}")
        names.append((number, name))
    return Listed(tuple(names))


def windows(path: Path) -> Listed:
    """Blocks of ``# index``, image path, three sizes, a count and that many windows.

    Raises OSError.
    """
    lines = _lines(path)
    names: list[tuple[int, str]] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        if not lines[at].startswith("#") or at + 5 >= len(lines):
            return Listed((), at + 1, f"a block begins with # and a number: {lines[at][:80]!r}")
        try:
            count = int(lines[at + 5])
        except ValueError:
            return Listed((), at + 6, f"the count of windows: {lines[at + 5][:80]!r}")
        names.append((at + 2, lines[at + 1].strip()))
        at += 6 + max(0, count)
    return Listed(tuple(names))
