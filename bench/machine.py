"""On what the figures were made."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PROGRAMS = {
    "docker client": ["docker", "--version"],
    "docker engine": ["docker", "version", "--format", "{{.Server.Version}}"],
    "registry": ["docker-registry", "--version"],
    "buildah": ["buildah", "--version"],
}
_PACKAGES = ("uaitrain", "isal")


def facts(environment: Mapping[str, str]) -> dict[str, object]:
    """Processor, memory, system and the versions of everything that takes part."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{_distribution()}, Linux {platform.release()}",
        "python": sys.version.split()[0],
        "versions": {name: _ask(words, environment) for name, words in _PROGRAMS.items()}
        | {name: version(name) for name in _PACKAGES},
    }


def load() -> float:
    """The load average of the last minute: at the start it should be near 0."""
    return round(os.getloadavg()[0], 2)


def _cpu() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")


def _ask(words: list[str], environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            words, env=os.environ | environment, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "not here"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"
