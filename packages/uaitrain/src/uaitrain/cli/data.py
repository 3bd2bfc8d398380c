"""``uaitrain data``: split large data files for moving, and merge them back."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from uaitrain.errors import UsageError

if TYPE_CHECKING:
    from uaitrain.cli.console import Console

_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SMALLEST_PART = 1 << 10

_EXAMPLES = """\
examples:
  uaitrain data split ilsvrc12_train_lmdb --part-size 4G
      an LMDB folder into ilsvrc12_train_lmdb.parts beside it; the folder itself stays
  uaitrain data merge ilsvrc12_train_lmdb.parts
      back, beside the parts; every byte is verified
  uaitrain data merge ilsvrc12_train_lmdb.parts --remove-parts
      the same, and the parts go once the whole was read back and found right

Both can be interrupted at any moment and run again: they go on where they were.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "data",
        help="split and merge large data files",
        description="Split large data files for moving, and merge them back, verified by SHA-256.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="data_verb", required=True, metavar="split|merge")
    split = verbs.add_parser("split", help="split a file, or every file of a folder")
    split.add_argument("source", type=Path, metavar="FILE|FOLDER", help="the data; it stays")
    split.add_argument(
        "--part-size",
        default="4G",
        metavar="SIZE",
        help="largest size of a part: bytes, or with K, M, G, T (default: %(default)s)",
    )
    split.add_argument(
        "--out", type=Path, metavar="DIR", help="where the parts go (default: SOURCE.parts)"
    )
    merge = verbs.add_parser("merge", help="merge a folder of parts")
    merge.add_argument("parts", type=Path, metavar="DIR", help="the folder of parts")
    merge.add_argument(
        "--out", type=Path, metavar="DIR", help="where the data goes (default: beside the parts)"
    )
    merge.add_argument(
        "--remove-parts",
        action="store_true",
        help="delete the parts once the whole was read back and found right",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    return {"split": _split, "merge": _merge}[arguments.data_verb](arguments, console)


def _split(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.datafiles.split import split

    size = part_size(arguments.part_size)
    source = arguments.source.absolute()
    out = arguments.out or source.with_name(f"{source.name}.parts")
    manifest = split(source, size, out.absolute(), console.progress)
    count = len(manifest.parts)
    console.out(f"{manifest.name}: {manifest.size} bytes in {count} parts in {out}")
    if arguments.json:
        console.json(
            {
                "name": manifest.name,
                "out": str(out),
                "size": manifest.size,
                "files": len(manifest.files),
                "parts": count,
            }
        )
    return 0


def _merge(arguments: argparse.Namespace, console: Console) -> int:
    from uaitrain.datafiles.merge import merge

    parts = arguments.parts.absolute()
    out = (arguments.out or parts.parent).absolute()
    target = merge(parts, out, console.progress, remove_parts=arguments.remove_parts)
    console.out(f"{target}: whole, every byte verified")
    if arguments.json:
        console.json({"target": str(target), "parts_removed": arguments.remove_parts})
    return 0


def part_size(text: str) -> int:
    """``4G`` as bytes. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * _UNITS[match[2].upper()] if match else 0
    if size < _SMALLEST_PART:
        raise UsageError(
            f"--part-size {text!r} is not a size of 1K or more",
            allowed="a number of bytes, or with K, M, G or T: 4G",
            next_step="uaitrain data split --help",
        )
    return size
