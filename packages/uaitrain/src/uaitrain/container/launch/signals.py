"""Signals as they arrive, kept until they can be passed on."""

import fcntl
import os
import signal
import time

from errors import Stopped
from files import pipe

STOPS = (signal.SIGTERM, signal.SIGINT)
REPEAT_SECONDS = 5
"""A signal that comes again within this time is the same request: Slurm signals a job's first
process and all of its processes, one after the other."""

_NOT_PASSED_ON = (
    ("SIGKILL", "SIGSTOP", "SIGCHLD")  # cannot be caught; ours
    + ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")  # our own faults
    + ("SIGPIPE", "SIGXFSZ", "SIGTTIN", "SIGTTOU")  # Python's and the terminal's
)
_OURS = frozenset(getattr(signal, name) for name in _NOT_PASSED_ON if hasattr(signal, name))


def raise_stopped():
    raise Stopped()


class Signals(object):
    """Catches what can be caught. `wake` becomes readable whenever there is something new."""

    def __init__(self):
        self.received = []
        self.asked = set()  # all that ever came
        self.at_stop = raise_stopped  # while there is no command; None: it is kept for it
        self.child_ended = False
        self._passed = {}
        self.wake, write = pipe()
        for end in (self.wake, write):
            fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_NONBLOCK)
        self._write = write
        signal.set_wakeup_fd(write)
        signal.signal(signal.SIGCHLD, self._note_child)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        self.caught = []
        for number in range(1, signal.NSIG):
            if number in _OURS:
                continue
            try:
                if signal.getsignal(number) == signal.SIG_IGN:
                    continue  # nohup: it is ignored for the command too
                signal.signal(number, self._receive)
                self.caught.append(number)
            except (ValueError, OSError, RuntimeError):
                continue  # the C library's own

    def _note_child(self, number, frame):
        self.child_ended = True

    def _receive(self, number, frame):
        self.received.append(number)
        self.asked.add(number)
        if self.at_stop and number in STOPS:
            self.at_stop()

    @property
    def stopping(self):
        return bool(self.asked.intersection(STOPS))

    def drain(self):
        """The signals to pass on now, in their order; repeated requests are left out."""
        try:
            while os.read(self.wake, 512):
                pass
        except OSError:
            pass
        news = []
        while self.received:
            number = self.received.pop(0)
            now = time.time()
            repeated = number in STOPS and now - self._passed.get(number, 0) < REPEAT_SECONDS
            if not repeated:
                self._passed[number] = now
                news.append(number)
        return news

    def forget(self):
        """In a forked child, before it becomes the command: as this process found them."""
        signal.set_wakeup_fd(-1)
        inherited = self.caught + [signal.SIGCHLD, signal.SIGPIPE, signal.SIGTTOU]
        if hasattr(signal, "SIGXFSZ"):
            inherited.append(signal.SIGXFSZ)
        for number in inherited:
            signal.signal(number, signal.SIG_DFL)
