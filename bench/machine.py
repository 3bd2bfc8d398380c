"""On what the figures were made."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_PROGRAMS = {
    "docker client": ["docker", "--version"],
    "docker engine": ["docker", "version", "--format", "{{.Server.Version}}"],
    "registry": ["docker-registry", "--version"],
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
    """The load average of the last minute, our own included."""
    return round(os.getloadavg()[0], 2)


def busy(seconds: float = 0.5) -> float:
    """How many cores somebody else keeps busy: we only wait so long. It should be near 0."""
    before, began = _worked(), time.monotonic()
    time.sleep(seconds)
    return round((_worked() - before) / (time.monotonic() - began), 2)


def _worked() -> float:
    """Seconds of processor time of all that runs here, since the start (proc_stat(5))."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _waiting, irq, softirq, _stolen = map(int, words)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


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
