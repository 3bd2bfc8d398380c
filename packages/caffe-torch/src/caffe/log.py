"""Log lines as glog prints them for Caffe: ``I1123 05:55:00.016389     7 solver.cpp:239] text``.

People's scripts parse these lines, so a line bears the source place that it has in Caffe 1.0.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import types
from collections.abc import Callable

INFO, WARNING, ERROR, FATAL = "IWEF"
_LEVELS = {INFO: 0, WARNING: 1, ERROR: 2, FATAL: 3}

THRESHOLD = "GLOG_minloglevel"
"""The environment variable with the least severity that is written."""

Log = Callable[..., None]
"""``log(place, text, severity=INFO)``."""


def silent(place: str, text: str, severity: str = INFO) -> None:
    """A log that says nothing."""


def write(place: str, text: str, severity: str = INFO) -> None:
    """One entry on standard error, unless GLOG_minloglevel is above its severity."""
    if _LEVELS[severity] < _least():
        return
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now))
    micros = int(now * 1e6) % 1_000_000
    thread = threading.get_native_id()
    try:
        sys.stderr.write(f"{severity}{stamp}.{micros:06d} {thread:5d} {place}] {text}\n")
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        # Nobody reads any more; training goes on, as Caffe's does.
        return


def _least() -> int:
    try:
        return int(os.environ.get(THRESHOLD, "0"))
    except ValueError:
        return 0


def number(value: float) -> str:
    """A float as C++ streams print it: six significant digits."""
    return f"{value:.6g}"


class _Callable(types.ModuleType):
    """pycaffe has a function where this module is: ``caffe.log(text)`` writes a line."""

    def __call__(self, text: str) -> None:
        write("_caffe.cpp:53", text)


sys.modules[__name__].__class__ = _Callable
