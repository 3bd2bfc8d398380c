"""Ignore patterns that would keep a backtracking expression busy for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("stars", [5, 12, 60])
def test_many_stars_take_no_longer_than_a_few(stars: int) -> None:
    """In a child that the kernel ends: an expression that backtracks would never come back."""
    code = (
        "import re, resource; resource.setrlimit(resource.RLIMIT_CPU, (10, 10))\n"
        "from uaitrain.files.ignore import _translate\n"
        f"pattern = re.compile(_translate('*a' * {stars} + 'b') + r'\\Z', re.DOTALL)\n"
        "print(pattern.match('a' * 250), bool(pattern.match('x' + 'a' * 249 + 'b')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["None", "True"]
