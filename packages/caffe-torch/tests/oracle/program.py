"""The ``caffe`` program: real Caffe's in its root folder, and ours, on the same files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.caffe_rootfs import _ENTER, _ENVIRONMENT, caffe_root

LINE = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ (\S+:\d+)\] (.*)$")
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Ended:
    """An exit status (negative: the signal), and what was printed."""

    status: int
    output: str

    @property
    def lines(self) -> list[tuple[str, str, str]]:
        """Severity, source place and text of every log line."""
        found = (LINE.match(line) for line in self.output.splitlines())
        return [(m[1], m[2], m[3]) for m in found if m]

    def said(self, place: str) -> list[str]:
        """The texts that come from a source file, ``solver.cpp``."""
        return [text for _, where, text in self.lines if where.startswith(f"{place}:")]


def oracle_argv(folder: Path, *arguments: str) -> list[str]:
    """Real Caffe's command line, with ``folder`` as its ``/data``."""
    namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    enter = ["sh", "-c", _ENTER, str(caffe_root()), str(folder), "+0:+0"]
    return [*namespace, *enter, "/usr/bin/caffe", *arguments]


def run_oracle(folder: Path, *arguments: str) -> Ended:
    return _run(oracle_argv(folder, *arguments), {**_ENVIRONMENT})


def run_ours(*arguments: str, **environment: str) -> Ended:
    return _run(
        [sys.executable, "-m", "caffe", *arguments],
        {**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def _run(argv: list[str], environment: dict[str, str]) -> Ended:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode("utf-8", "replace"))
