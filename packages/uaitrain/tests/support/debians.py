"""Two Debians with Pythons of their own, in which the tool runs from its sources (chroot)."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import uaitrain

from support.bases import REPOSITORY

SUITES = {"bookworm": "3.11", "trixie": "3.13"}
"""Each with its Python, whose zlib, json and sorting are other builds than this one's."""

_LIBRARIES = ("isal", "protobuf")
_CACHE = REPOSITORY / ".state" / "test-cache"


@dataclass(frozen=True)
class Debian:
    """``root`` is its file system; the tool's sources and libraries are in ``/tool``."""

    suite: str
    root: Path

    def run(
        self,
        words: Sequence[str],
        folder: str,
        user: int,
        umask: str,
        environment: Mapping[str, str],
    ) -> str:
        """Standard output of ``words`` in ``folder``, both as seen inside; ``user`` is an id."""
        told = [f"{name}={value}" for name, value in environment.items()]
        shell = f'umask {umask} && cd "$0" && exec env -i "$@"'
        inside = ["chroot", f"--userspec={user}:{user}", str(self.root), "/bin/sh", "-c", shell]
        done = subprocess.run(
            [*inside, folder, "PATH=/usr/bin:/bin", "PYTHONPATH=/tool", *told, *words],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode()


def _bootstrapped(suite: str) -> Path:
    root = _CACHE / f"debian-{suite}-python3"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            part = root.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            words = ["--variant=minbase", "--include=python3,git", suite, str(part)]
            made = subprocess.run(["mmdebstrap", *words], capture_output=True, check=False)
            assert made.returncode == 0, made.stderr.decode(errors="replace")[-2000:]
            _install(part / "tool", SUITES[suite])
            part.rename(root)
    return root


def _install(folder: Path, version: str) -> None:
    """The libraries of the lock for that Python, each held against its digest."""
    lock = (REPOSITORY / "requirements.lock").read_text()
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "wanted.lock"
        blocks = [re.search(rf"^{name}==(?:.*\\\n)*.*\n", lock, re.M) for name in _LIBRARIES]
        wanted.write_text("".join(block[0] for block in blocks if block))
        words = ["install", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        words += [f"--python-version={version}", f"--target={folder}", "-r", str(wanted)]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)


def debian(suite: str) -> Debian:
    """With the sources as they are now."""
    root = _bootstrapped(suite)
    own = root / "tool" / "uaitrain"
    shutil.rmtree(own, ignore_errors=True)
    source = Path(uaitrain.__file__).parent
    shutil.copytree(source, own, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["chmod", "-R", "a+rX", str(root / "tool")], check=True)
    return Debian(suite, root)


@pytest.fixture(scope="module")
def debians() -> tuple[Debian, Debian]:
    bookworm, trixie = (debian(suite) for suite in SUITES)
    return bookworm, trixie
