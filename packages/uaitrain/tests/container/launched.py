"""The launcher in a box, and small programs for it to run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from support.caffe_rootfs import Box
from uaitrain.frameworks import launcher

PYTHON = "/usr/bin/python3"
FIRST = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""As the first process of a PID namespace, as in a container."""

RUN = "job-20261124-191500-3f2a1c"

LISTENS = """
import os, signal, sys, time
heard = []
def hear(number, frame):
    heard.append(number)
    sys.stdout.write("heard %d\\n" % number)
    sys.stdout.flush()
for number in range(1, 65):
    try:
        if number != signal.SIGCHLD:
            signal.signal(number, hear)
    except (OSError, ValueError, RuntimeError):
        pass
sys.stdout.write("begun %d\\n" % os.getpid())
sys.stdout.flush()
while signal.SIGTERM not in heard:
    time.sleep(0.02)
time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0.3)
sys.exit(143)
"""
"""Tells of each signal it gets; SIGTERM ends it as the contract says."""


def launch(box: Box, *command: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start ``command`` as a container's first process would be started."""
    pyz = box.data / launcher.FILE
    if not pyz.exists():
        pyz.write_bytes(launcher.archive())
    return box.start(f"/usr/bin/{box.python}", f"/data/{launcher.FILE}", *command, **options)


def finished(box: Box, *command: str, **options: Any) -> int:
    """The launcher's exit code."""
    return launch(box, *command, **options).wait(120)


def log_of(box: Box) -> Path:
    """The one log of the output folder."""
    (log,) = (box.output / "log").glob("*.log")
    return log
