"""Subordinate ids: what Podman needs to run as a normal user."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from uaitrain.doctor.verdict import TEST_CPU, TEST_GPU, State, Surroundings, Verdict
from uaitrain.engines.engine import PODMAN

FILES = (Path("/etc/subuid"), Path("/etc/subgid"))
_STOPS = (TEST_CPU, TEST_GPU)


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    engine = surroundings.engine
    if engine is None or engine.program != PODMAN or os.geteuid() == 0:
        return
    if not shutil.which("newuidmap"):
        yield Verdict(
            "user ids",
            State.MISSING,
            "podman needs newuidmap to run as a normal user",
            "sudo apt-get install uidmap",
            _STOPS,
        )
    yield from ids_of(_user_name(), os.geteuid(), FILES)


def ids_of(name: str, uid: int, files: tuple[Path, ...]) -> Iterator[Verdict]:
    """Whether each file gives the user a range (``name-or-uid:first:count``; subuid(5))."""
    for path in files:
        try:
            owners = {line.partition(":")[0] for line in path.read_text().splitlines()}
        except OSError:
            owners = set()
        if not owners & {name, str(uid)}:
            yield Verdict(
                "user ids",
                State.MISSING,
                f"{path} has no line for {name}",
                f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}, "
                "then podman system migrate",
                _STOPS,
            )


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
