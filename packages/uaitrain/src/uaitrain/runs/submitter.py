"""Who is sending a run: a process of a machine, and whether it may still be at it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PATIENCE_SECONDS = 3600.0
"""How long a process of another machine is believed to be at work."""


def this_process() -> str:
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def may_still_send(submitter: str, since: float, now: float) -> bool:
    """Whether ``submitter``, at work since ``since`` (Unix seconds), can be at it ``now``."""
    host, _, process = submitter.rpartition("/")[0].partition("/")
    if host != socket.gethostname() or not process.isdecimal():
        return now - since < _PATIENCE_SECONDS
    return submitter.endswith(f"/{_started(int(process))}")


def _started(process: int) -> str:
    """When the kernel started it, in clock ticks since boot: its number may be given anew
    (proc(5), /proc/pid/stat, field 22)."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return "gone"
    return text.rpartition(")")[2].split()[19]
