"""Which engine to use: Docker when its daemon answers, else Podman, unless the user says."""

from __future__ import annotations

import os

from uaitrain.engines.engine import DOCKER, PODMAN, Engine, last_line
from uaitrain.errors import EngineError, UsageError
from uaitrain.values import dataclass

PROGRAMS = (DOCKER, PODMAN)
VARIABLE = "UAITRAIN_ENGINE"

_PROBES = {
    DOCKER: ("version", "--format", "{{.Server.Version}}"),
    PODMAN: ("version", "--format", "{{.Client.Version}}"),
}
"""The cheapest question that only a working engine answers."""


@dataclass(frozen=True)
class Probe:
    """One program as found: the engine when it can be used, else the reason why not."""

    program: str
    engine: Engine | None
    version: str = ""
    reason: str = ""
    mend: str = ""


def probe(program: str) -> Probe:
    """Ask ``program`` directly; where permission is missing, through sudo if it needs no password.

    Starts nothing and changes nothing.
    """
    import shutil

    if not shutil.which(program):
        return Probe(program, None, reason=f"{program} is not installed", mend=_INSTALL[program])
    engine = Engine(program, (program,))
    done = engine.ask(*_PROBES[program])
    if done.returncode == 0 and done.stdout.strip():
        return Probe(program, engine, version=done.stdout.strip())
    reason = last_line(done.stderr) or f"{program} exits {done.returncode}"
    if "permission denied" not in reason.lower():
        mend = "sudo systemctl start docker" if program == DOCKER else ""
        return Probe(program, None, reason=reason, mend=mend)
    if shutil.which("sudo") and os.geteuid() != 0:
        with_sudo = Engine(program, ("sudo", "-n", program))
        done = with_sudo.ask(*_PROBES[program])
        if done.returncode == 0 and done.stdout.strip():
            return Probe(program, Engine(program, ("sudo", program)), version=done.stdout.strip())
    return Probe(
        program,
        None,
        reason=reason,
        mend="sudo usermod -aG docker $USER, then log in again; or run this with sudo",
    )


_INSTALL = {
    DOCKER: "sudo apt-get install docker.io",
    PODMAN: "sudo apt-get install podman uidmap",
}


def wanted_programs(preferred: str | None = None) -> tuple[str, ...]:
    """The programs to try, in order: ``--container-engine``, else ``UAITRAIN_ENGINE``, else all.

    Raises UsageError for a program we cannot drive.
    """
    wanted = preferred or os.environ.get(VARIABLE) or ""
    if not wanted:
        return PROGRAMS
    if wanted not in PROGRAMS:
        source = "--container-engine" if preferred else VARIABLE
        raise UsageError(f"{source}: no such engine: {wanted!r}", allowed=" or ".join(PROGRAMS))
    return (wanted,)


def find_engine(preferred: str | None = None) -> Engine | None:
    """The first engine that answers, or None. Raises UsageError for an unknown name."""
    for program in wanted_programs(preferred):
        if engine := probe(program).engine:
            return engine
    return None


def require_engine(preferred: str | None = None) -> Engine:
    """The first engine that answers. Raises EngineError with each one's reason."""
    probes = []
    for program in wanted_programs(preferred):
        found = probe(program)
        if found.engine:
            return found.engine
        probes.append(found)
    raise no_engine(probes)


def no_engine(probes: list[Probe]) -> EngineError:
    # An engine that is there but not running says more than one that was never installed.
    present = [found for found in probes if "not installed" not in found.reason] or probes
    return EngineError(
        "no container engine can be used: " + "; ".join(found.reason for found in probes),
        next_step=next((found.mend for found in present if found.mend), "uaitrain doctor"),
    )
