"""The command as a process: its start, its signals, its end."""

import errno
import os
import signal
import time

import processes
from errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Failure
from files import persistent, pipe
from signals import STOPS
from terminal import Channels, is_foreground

LEFTOVER_SECONDS = 10
"""What the command leaves in its group gets this long after SIGTERM."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Child(object):
    """The command, running in a process group of its own."""

    def __init__(self, argv, environment, signals, output):
        """Start it. Raises Failure."""
        self.signals = signals
        self.output = output
        self.status = None
        self.passed = set()
        self._left_since = 0.0
        self._left_status = None
        self._stop_told = False
        self._all_told = False  # of a stop
        self.channels = Channels()
        prctl = _prctl() if os.getpid() != 1 else None
        if prctl:
            prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the command come to us
        told, tell = pipe()
        foreground = is_foreground()
        if foreground:
            self.passed.add(signal.SIGINT)  # Ctrl-C goes to the command by itself
        self.pid = os.fork()
        if self.pid == 0:
            self._become(argv, environment, tell, foreground, prctl)
        os.close(tell)
        self.channels.close_inner()
        # Its end of this pipe closes when it has become the command: signals wait until then.
        problem = persistent(os.read, told, 64)
        os.close(told)
        if problem:
            persistent(os.waitpid, self.pid, 0)
            number = int(problem)
            raise Failure(
                EXIT_NOT_FOUND if number == errno.ENOENT else EXIT_NOT_EXECUTABLE,
                "cannot start %s: %s" % (argv[0], os.strerror(number)),
            )

    def _become(self, argv, environment, tell, foreground, prctl):
        """Between fork and exec; does not return."""
        try:
            os.setpgid(0, 0)
            if foreground:
                os.tcsetpgrp(0, os.getpid())  # the terminal's keys are for the command
            self.signals.forget()
            os.dup2(self.channels.out, 1)
            os.dup2(self.channels.err, 2)
            if prctl:
                prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            os.write(tell, ("%d" % error.errno).encode("ascii"))
        finally:
            os._exit(EXIT_NOT_FOUND)

    def run(self, every, seconds):
        """Until nothing of the command's group is left; its wait status is in `status` then.

        `every()` is called each `seconds` (None: never).
        """
        called = time.time()
        while not self._is_over():
            wait = 0.1 if self.status is not None else seconds
            for stream, data in self.channels.read(self.signals.wake, wait):
                self.output.write(stream, data)
            for number in self.signals.drain():
                self._pass_on(number)
            if self.signals.child_ended or self.status is not None:
                self.signals.child_ended = False
                self._reap()
            if seconds is not None and time.time() - called >= seconds:
                every()
                called = time.time()
        # What was written is there to be read; who left the group may keep the other end open.
        while self.channels.streams:
            found = self.channels.read(self.signals.wake, 0)
            if not found:
                break
            for stream, data in found:
                self.output.write(stream, data)

    def _pass_on(self, number):
        if number == getattr(signal, "SIGWINCH", None):
            self.channels.resize()
        if number in STOPS and self.signals.stopping and not self._stop_told:
            self._stop_told = True
            self.output.say("asked to stop: the command is told")
        self.passed.add(number)
        self._tell(number)

    def _tell(self, number):
        listeners = processes.listeners(self.pid, number)
        if listeners is None:
            listeners = [-self.pid]
            self._all_told = self._all_told or number in STOPS
        for pid in listeners:
            _kill(pid, number)

    def _reap(self):
        """Collect ended processes of the command's group, and orphans that became ours."""
        while True:
            try:
                pid, status = os.waitpid(-self.pid, os.WNOHANG)
            except OSError:
                break
            if pid == 0:
                break
            if pid == self.pid:
                self.status = status
            else:
                self._left_status = status
        for pid in orphans():
            try:
                os.waitpid(pid, os.WNOHANG)
            except OSError:
                pass

    def _is_over(self):
        if self.status is None:
            return False
        try:
            os.killpg(self.pid, 0)
        except OSError:
            return True
        if not self._left_since:
            self._left_since = time.time()
            if not self._all_told:
                self.output.say("the command ended; what it left running is told to end")
                self._tell(signal.SIGTERM)
        # A training whose shell died of a stop may be writing its snapshot, as long as it may.
        orderly = self.signals.stopping and os.WIFSIGNALED(self.status)
        if not orderly and time.time() - self._left_since > LEFTOVER_SECONDS:
            _kill(-self.pid, signal.SIGKILL)
        return False

    @property
    def verdict(self):
        """The wait status that counts: the command's, or that of the training it left behind."""
        left = self._left_status
        stopped = os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) in STOPS
        if stopped and left is not None and os.WIFEXITED(left) and 0 < os.WEXITSTATUS(left) < 128:
            return left
        return self.status


def orphans():
    """Ended children of ours that we did not start. What we start is in our own process group, or
    leads a session of its own."""
    own, group = os.getpid(), os.getpgrp()
    return [
        pid
        for pid, each in processes.table().items()
        if each.parent == own and each.state == "Z" and each.group != group and each.session != pid
    ]


def end_orphans(spared=False):
    """Kill what became our child and would outlive us; `spared` are the leaders of sessions, for
    such are the children of staging."""
    own, group = os.getpid(), os.getpgrp()
    for pid, each in processes.table().items():
        is_spared = spared and each.session == pid
        if each.parent == own and each.group != group and not is_spared:
            _kill(pid, signal.SIGKILL)


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def _prctl():
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
