"""Terminals: output through one where the launcher has one, so that the command sees it too."""

import array
import errno
import fcntl
import os
import select
import termios

from files import close_on_exec, pipe

CHUNK_BYTES = 65536


class Channels(object):
    """Where the command writes (`out`, `err`), and where it is read: `streams`, {handle: 1 or 2}.

    Where this process's stdout is a terminal, the command gets one too: programs buffer and
    colour by it, and shells prompt. Where stdout and stderr are one file, the command writes both
    into one pipe, so that their order is kept.
    """

    def __init__(self):
        self.terminal = None
        if os.isatty(1):
            self.terminal, self.out = os.openpty()
            close_on_exec(self.terminal, self.out)
            _pass_bytes_as_they_are(self.out)
            self.resize()
            self.streams = {self.terminal: 1}
        else:
            read, self.out = pipe()
            self.streams = {read: 1}
        self.err = self.out
        if not _same_file(1, 2):
            read, self.err = pipe()
            self.streams[read] = 2

    def close_inner(self):
        for handle in {self.out, self.err}:
            os.close(handle)

    def resize(self):
        """Give the command's terminal the size of ours."""
        if self.terminal is None:
            return
        size = array.array("h", [0] * 4)
        try:
            fcntl.ioctl(1, termios.TIOCGWINSZ, size, True)
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)
        except (IOError, OSError):
            pass

    def read(self, wake, seconds):
        """Wait for output or for `wake`, and give what came as (stream, data)."""
        try:
            ready = select.select(list(self.streams) + [wake], [], [], seconds)[0]
        except (select.error, OSError):
            return []  # a signal
        found = []
        for handle in ready:
            if handle == wake:
                continue
            try:
                data = os.read(handle, CHUNK_BYTES)
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                data = b""  # EIO: nobody holds the other end of a terminal
            if data:
                found.append((self.streams[handle], data))
            else:
                del self.streams[handle]
                os.close(handle)
        return found


def _same_file(one, other):
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return True
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _pass_bytes_as_they_are(handle):
    """Our own terminal turns a line's end into carriage return and line feed; once is enough."""
    attributes = termios.tcgetattr(handle)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(handle, termios.TCSANOW, attributes)


def is_foreground():
    """Whether this process may read from the terminal that is its stdin."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
