"""The repository's Markdown files, and the parts of them that tests look at."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support.bases import REPOSITORY

_FENCE = re.compile(r"^```(\w*)$(.*?)^```$", re.MULTILINE | re.DOTALL)
_START = re.compile(r"<!-- start: (\w+) -->\s*\Z")


@cache
def repository_files(*patterns: str) -> tuple[Path, ...]:
    """Files of the repository, also those that wait to be committed; relative paths."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    names = subprocess.run(
        [*asked, *patterns], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    found = {Path(name) for name in names.split("\0") if name}
    return tuple(sorted(path for path in found if (REPOSITORY / path).is_file()))


@cache
def text_of(page: Path) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``start`` is the workspace that a comment right above it asks for."""

    page: Path
    line: int
    language: str
    text: str
    start: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = text_of(page)
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        asked = _START.search(before)
        yield Block(
            page,
            before.count("\n") + 1,
            match[1],
            match[2].removeprefix("\n"),
            asked[1] if asked else "",
        )


def table_below(page: Path, marker: str) -> list[list[str]]:
    """The rows of the table that follows ``<!-- table: marker -->``, without its two head lines."""
    _, found, rest = text_of(page).partition(f"<!-- table: {marker} -->\n")
    assert found, f"{page} has no table {marker}"
    rows = []
    for line in rest.strip().splitlines():
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        rows.append([cell.strip().replace("\\|", "|") for cell in cells])
    return rows[2:]
