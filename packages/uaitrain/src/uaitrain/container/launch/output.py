"""The command's output: shown as it comes, and copied into the log."""

import errno
import os
import select
import time

from errors import EXIT_OUTPUT, Failure
from files import close_on_exec, make_folder, raw

TAIL_BYTES = 16384


class Output(object):
    """What is written to it appears on this process's own stdout or stderr, and in the log.

    Bytes are passed on as they are, at once, also without a line's end. Neither a closed terminal
    nor a full disk ends the training; of the latter one line tells, and the log goes on where
    there is room again. `tail` has the last bytes.
    """

    def __init__(self):
        self.path = ""
        self.tail = b""
        self._log = None
        self._broken = False
        self._line_open = False

    def open(self, path):
        """Copy into `path` from here on, behind what is there. Raises Failure."""
        try:
            make_folder(os.path.dirname(path))
            self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except (IOError, OSError) as error:
            raise Failure(EXIT_OUTPUT, "cannot write the log %s: %s" % (path, error.strerror))
        close_on_exec(self._log)
        self.path = path

    def write(self, stream, data):
        """`stream` is 1 or 2."""
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        self._line_open = not data.endswith(b"\n")
        send(stream, data)
        problem = send(self._log, data) if self._log is not None else None
        if problem and not self._broken:
            self._broken = True
            text = "the log %s has gaps from here on: %s" % (self.path, os.strerror(problem))
            send(1, raw("launch: %s\n" % text))

    def say(self, text):
        """One line of the launcher's own."""
        start = "\n" if self._line_open else ""
        self.write(1, raw("%slaunch: %s\n" % (start, text)))

    def close(self):
        if self._log is None:
            return
        try:
            os.fsync(self._log)
        except OSError:
            pass
        os.close(self._log)
        self._log = None


def send(handle, data):
    """Write all of `data`; the error number of what prevented it, or None."""
    while data:
        try:
            data = data[os.write(handle, data) :]
        except OSError as error:
            if error.errno == errno.EAGAIN:
                select.select([], [handle], [], 1)
            elif error.errno != errno.EINTR:
                return error.errno
    return None


def log_path(folder, run_id, rank):
    """Where the log of a run goes; without a run id no two starts share one."""
    if run_id:
        return os.path.join(folder, "%s.%d.log" % (run_id, rank))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = os.path.join(folder, "%s.%d.log" % (stamp, rank))
    number = 1
    while os.path.exists(path):
        number += 1
        path = os.path.join(folder, "%s-%d.%d.log" % (stamp, number, rank))
    return path
