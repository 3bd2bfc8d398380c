"""From how the command ended to the exit code of the container's contract.

1 to 127 is a permanent failure, so what a crash would give (128 and more) is mapped, and never
137: that is what engines say of a container that was killed from outside.
"""

import os
import re
import signal

from errors import (
    EXIT_CRASHED,
    EXIT_FAILED,
    EXIT_KILLED,
    EXIT_REFUSED,
    EXIT_STOPPED,
)
from signals import STOPS

_BY_SIGNAL = {signal.SIGABRT: EXIT_REFUSED, signal.SIGKILL: EXIT_KILLED}
_CRASHES = frozenset([signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP])
_REASON = re.compile(r"^F\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\] (.*)")
_LINES = 12


def judge(status, passed, speaks_for_itself):
    """(exit code, what happened) of a wait status.

    `passed` has the signals that were passed on. Without a stop among them, 143 is believed only
    where the command `speaks_for_itself`: the stock train.py says it after a snapshot alone.
    """
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if code > 128 and not number and code - 128 < signal.NSIG:
        number = code - 128  # as shells say it
    stopped = [each for each in STOPS if each in passed]
    if code == EXIT_STOPPED and (stopped or speaks_for_itself):
        return EXIT_STOPPED, "stopped"
    if number and number in stopped:
        return EXIT_STOPPED, "stopped"
    if number:
        said = "the command was ended by signal %d" % number
        crashed = EXIT_CRASHED if number in _CRASHES else EXIT_KILLED
        return _BY_SIGNAL.get(number, crashed), said
    if code > 127:
        return EXIT_FAILED, "the command ended with exit code %d" % code
    return code, "the command ended with exit code %d" % code if code else "done"


def reason(said, tail):
    """What goes into the failure file: what happened, and the output's last words."""
    lines = [line.rstrip() for line in tail.decode("utf-8", "replace").splitlines()]
    fatal = [found.group(1) for found in map(_REASON.match, lines) if found]
    if fatal:
        return "%s: %s" % (said, "; ".join(fatal[-3:]))
    words = [line for line in lines if line and not line.startswith("launch: ")][-_LINES:]
    return "\n".join([said + (":" if words else "")] + words)
