"""What decides how this user's commands look: who runs them, and through which program."""

from __future__ import annotations

import os

from uaitrain.engines.engine import DOCKER, PODMAN, Engine
from uaitrain.values import dataclass

NVIDIA_DOCKER = "nvidia-docker"


@dataclass(frozen=True)
class LocalFacts:
    """``uid`` and ``gid`` are the person's, also under sudo.

    ``rootless`` engines run containers as the person who calls them: their root is that person.
    """

    program: str = DOCKER
    needs_sudo: bool = False
    has_nvidia_docker: bool = False
    uid: int = 0
    gid: int = 0
    rootless: bool = False

    @property
    def user(self) -> str:
        """``uid:gid`` for a container whose results shall belong to the person, or empty."""
        return "" if self.uid == 0 or self.rootless else f"{self.uid}:{self.gid}"

    def words(self, *, gpu: bool = False) -> tuple[str, ...]:
        """How a command begins."""
        wants_nvidia = gpu and self.program == DOCKER and self.has_nvidia_docker
        program = NVIDIA_DOCKER if wants_nvidia else self.program
        return ("sudo", program) if self.needs_sudo else (program,)


def local_facts(engine: Engine | None) -> LocalFacts:
    """Look around; without an engine, as Docker from a fresh package would need it."""
    uid, gid = _person()
    root = os.geteuid() == 0
    if engine is None:
        return LocalFacts(DOCKER, not root, _is_there(NVIDIA_DOCKER), uid, gid)
    return LocalFacts(
        engine.program,
        engine.needs_sudo,
        _is_there(NVIDIA_DOCKER),
        uid,
        gid,
        _is_rootless(engine, root) if uid else False,
    )


def _is_there(program: str) -> bool:
    """As ``shutil.which`` finds it, which loads every compression that Python has."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (os.path.join(folder, program) for folder in folders)  # noqa: PTH118 - on every pack
    return any(os.access(path, os.X_OK) and os.path.isfile(path) for path in paths)  # noqa: PTH113


def _person() -> tuple[int, int]:
    sudo_uid, sudo_gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and sudo_uid.isdecimal() and sudo_gid.isdecimal():
        return int(sudo_uid), int(sudo_gid)
    return os.getuid(), os.getgid()


def _is_rootless(engine: Engine, root: bool) -> bool:
    if engine.program == PODMAN:
        return not root
    return "name=rootless" in engine.ask("info", "--format", "{{.SecurityOptions}}").stdout
