"""cosign as two Debians have it: version 2 (Debian 13) and version 3 (sid)."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.bases import REPOSITORY

KEY_PASSWORD = "k3y: wörd"  # noqa: S105 made up
SUITES = ("trixie", "sid")


@dataclass(frozen=True)
class Cosign:
    program: Path

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.program), *words],
            cwd=cwd,
            env=os.environ | {"COSIGN_PASSWORD": KEY_PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )

    def accepts(self, command: str, key: Path, reference: str, *words: str) -> str:
        """What ``cosign verify`` or ``verify-attestation`` prints; fails where it refuses."""
        done = self.verify(command, key, reference, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def verify(
        self, command: str, key: Path, reference: str, *words: str
    ) -> subprocess.CompletedProcess[str]:
        trusting = ("--insecure-ignore-tlog", "--allow-insecure-registry")
        return self.run(command, *words, "--key", str(key), *trusting, reference)


def program_of(name: str, suite: str) -> Path:
    """A program of another Debian, fetched through apt and verified when it is first needed."""
    tool = REPOSITORY / "scripts" / "sid-tool"
    done = subprocess.run([tool, name, suite], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def cosign_of(suite: str) -> Cosign:
    return Cosign(program_of("cosign", suite))


@pytest.fixture(scope="session", params=SUITES)
def cosign(request: pytest.FixtureRequest) -> Cosign:
    """Each of the two."""
    return cosign_of(request.param)


@pytest.fixture(scope="session")
def cosign_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encrypted key of ``cosign generate-key-pair``; ``.pub`` beside it is the public half."""
    folder = tmp_path_factory.mktemp("cosign")
    done = cosign_of("sid").run("generate-key-pair", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "cosign.key"
