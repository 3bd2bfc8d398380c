"""TensorBoard's writer beside the run, where the image has it."""

import os
import signal
import sys
import time

from files import persistent, pipe

FILE = "board.pyz"
END_SECONDS = 5


class Sidecar(object):
    """`python board.pyz LOG FOLDER`, which ends when its stdin is closed.

    It stays in the launcher's process group, so that the command's signals do not reach it.
    Whatever becomes of it is no matter of the run.
    """

    def __init__(self, pid, stdin):
        self._pid = pid
        self._stdin = stdin

    @classmethod
    def start(cls, log, signals):
        """None where there is none."""
        archive = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), FILE)
        if not log or not os.path.exists(archive):
            return None
        folder = log[: -len(".log")] + ".tensorboard"
        read, write = pipe()
        try:
            pid = os.fork()
        except OSError:
            return None
        if pid == 0:
            try:
                signals.forget()
                os.dup2(read, 0)
                os.execv(sys.executable, [sys.executable, archive, log, folder])
            finally:
                os._exit(127)
        os.close(read)
        return cls(pid, write)

    def end(self):
        """After the log's last line: it writes what that tells."""
        os.close(self._stdin)
        deadline = time.time() + END_SECONDS
        try:
            while persistent(os.waitpid, self._pid, os.WNOHANG)[0] == 0:
                if time.time() > deadline:
                    os.kill(self._pid, signal.SIGKILL)
                time.sleep(0.01)
        except OSError:
            pass
