"""What must not stand in any file of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from doc_pages import repository_files
from support.bases import REPOSITORY

# Written in pieces, so that this file does not hold what it forbids.
FORBIDDEN = {
    "the host of a package index": ("py" + r"pi\.org", "python" + r"hosted\.org"),
    "a Debian mirror": ("deb" + r"\.debian\.org", "security" + r"\.debian\.org"),
    "a path of the machine it was written on": (
        r"(?<![\w.])/wo" + r"rk/(?:main|shared)\b",
        r"(?<![\w.])/ro" + r"ot/\.pyenv\b",
        r"/tm" + r"p/brief\b",
    ),
    "who or what typed it": (
        r"\bsub-?ag" + r"ents?\b",
        r"\blarge language mo" + r"dels?\b",
        r"\bclau" + r"de\b",
        r"\banthro" + r"pic\b",
        r"\bchat" + r"gpt\b",
    ),
}
LARGEST_BYTES = 100_000
LARGE = {
    "requirements.lock": "every package with its digests",
    "examples/mnist/data/train-images-idx3-ubyte.gz": "MNIST's own file",
    "examples/mnist/data/t10k-images-idx3-ubyte.gz": "MNIST's own file",
}
MOST_LINES = 400
LONG = {
    "packages/uaitrain/src/uaitrain/container/train.py": "one file by contract",
}


def _texts() -> list[tuple[Path, str]]:
    texts = []
    for path in repository_files():
        data = (REPOSITORY / path).read_bytes()
        if b"\0" not in data:
            texts.append((path, data.decode("utf-8", "replace")))
    return texts


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    pattern = re.compile("|".join(FORBIDDEN[what]), re.IGNORECASE)
    found = [
        f"{path}:{number}: {match[0]}"
        for path, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]

    assert found == []


def test_large_files_are_listed() -> None:
    large = {str(p) for p in repository_files() if (REPOSITORY / p).stat().st_size > LARGEST_BYTES}

    assert large - set(LARGE) == set()


def test_modules_stay_readable() -> None:
    long = {
        str(path)
        for path in repository_files("packages/*/src/*.py", "scripts/*", "bench/*.py")
        if len(lines := (REPOSITORY / path).read_text().splitlines()) > MOST_LINES
        if "made by scripts/" not in lines[0]
    }

    assert long == set(LONG)


def test_no_secret_lies_in_the_repository() -> None:
    """Private keys by their first line; the tests make their own at run time."""
    begins = "-----BEGIN [A-Z ]*PRIVATE " + "KEY-----"
    found = subprocess.run(
        ["git", "grep", "-lE", begins], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split()

    assert found == []
