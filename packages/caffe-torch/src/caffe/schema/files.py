"""A definition's file as text: what is no text is refused here, by its name."""

from __future__ import annotations

import os
from pathlib import Path

from caffe.errors import DefinitionError

LARGEST_BYTES = 16 << 20
"""No definition is larger. Caffe's own reader stops at 2 GiB, people's patience earlier."""

_ENCODINGS = ("utf-8-sig", "gb18030", "latin-1")
"""Caffe takes any bytes in comments and strings. Old files have GBK ones; the last never fails."""


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of ``path``. Raises DefinitionError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DefinitionError(
            f"{os.fspath(path)}: cannot read the definition: {reason.lower()}",
            next_step=f"give the path of a prototxt, seen from {_here()}",
        ) from None
    if len(data) > LARGEST_BYTES:
        raise DefinitionError(
            f"{os.fspath(path)}: too large for a prototxt",
            allowed=f"at most {LARGEST_BYTES >> 20} MiB",
            next_step="weights belong into a .caffemodel, given beside the definition",
        )
    return decode(data, os.fspath(path))


def decode(data: bytes, source: str) -> str:
    """``data`` as text. Raises DefinitionError for what is not text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DefinitionError(
            f"{source}: is UTF-16 text", allowed="UTF-8", next_step="save the file as UTF-8"
        )
    if b"\0" in data:
        raise DefinitionError(
            f"{source}: holds binary data",
            allowed="prototxt, which is text",
            next_step="if these are weights (.caffemodel), give them as weights",
        )
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 takes every byte")


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "the working directory, which does not exist any more"
