"""The look-ups before the expressions only save time: they never change what is ignored."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from uaitrain.files.ignore import IgnoreRules

SEED = 20260
NAMES = ("a", "b", "ab", "a.b", "ba", "b.a", ".a", "aa")


@pytest.fixture
def tree(tmp_path: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """Files and folders two deep, with all names in each."""
    for number, name in enumerate(NAMES):
        (tmp_path / name).mkdir()
        for other, inner in enumerate(NAMES):
            if (number + other) % 2:
                (tmp_path / name / inner).mkdir()
            else:
                (tmp_path / name / inner).write_text("x")
    return list(_below(tmp_path, ""))


def _below(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as scan:
        for item in list(scan):
            yield prefix + item.name, item
            if item.is_dir():
                yield from _below(folder / item.name, f"{prefix}{item.name}/")


def by_expressions_alone(rules: IgnoreRules, path: str, item: os.DirEntry[str]) -> bool:
    for rule in reversed(rules._rules):
        if rule.pattern.match(path) and (not rule.folders_only or item.is_dir()):
            return not rule.keep
    return False


def test_random_rules_ignore_what_their_expressions_say(
    tree: list[tuple[str, os.DirEntry[str]]],
) -> None:
    source = random.Random(SEED)  # noqa: S311 - test data
    ignored = kept = 0
    for _ in range(400):
        patterns = [
            "".join(source.choices("ab./*?![]\\", [9, 9, 3, 3, 4, 2, 1, 1, 1, 1], k=length))
            for length in source.choices(range(1, 6), k=source.randrange(1, 5))
        ]
        rules = IgnoreRules(patterns)
        for path, item in tree:
            expected = by_expressions_alone(rules, path, item)
            assert rules.ignores(path, item.name, item) == expected, (patterns, path)
            ignored, kept = ignored + expected, kept + (not expected)

    assert min(ignored, kept) > 1000
