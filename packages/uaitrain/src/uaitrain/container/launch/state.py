"""What is kept of a run under `.uaitrain` in the output folder, by its id and rank."""

import errno
import fcntl
import json
import os
import time

import files
from errors import EXIT_OUTPUT, Failure

FOLDER = ".uaitrain"
WAIT_SECONDS = 0.5


class RunState(object):
    """`<run id>.<rank>.json`: how often the run was started, how it ended last.

    `attempts`: this start counted. `exit_code`: of the last attempt that ended. `iteration`: the
    last one that it told of. `before`: snapshots of other runs, by their paths below the output
    folder, with their modification times in milliseconds.
    """

    def __init__(self, output_dir, run_id, rank):
        self.folder = os.path.join(output_dir, FOLDER)
        name = "%s.%d" % (run_id, rank)
        self.path = os.path.join(self.folder, name + ".json")
        self.marker = os.path.join(self.folder, name + ".complete")
        self._lock_path = os.path.join(self.folder, ".%s.lock" % name)
        self._lock = None
        self.attempts, self.exit_code, self.iteration, self.before = 0, None, 0, {}

    def lock(self, say):
        """Wait until no other launcher runs this very run. Raises Failure.

        A job may be started again while its old node still trains. The lock is the file system's
        (flock): it ends with whoever holds it. Where there is none, and between machines that do
        not share the folder, nothing is held.
        """
        told = False
        try:
            files.make_folder(self.folder)
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
            files.close_on_exec(self._lock)
            while True:
                try:
                    return fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except (IOError, OSError) as error:
                    if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                        return say("this folder has no locks (%s)" % error.strerror)
                if not told:
                    say("the same run is still running elsewhere: waiting for its end")
                    told = True
                time.sleep(WAIT_SECONDS)
        except (IOError, OSError) as error:
            raise _unwritable(self.folder, error)

    def load(self):
        known = _read(self.path)
        try:
            self.attempts = int(known.get("attempts") or 0)
            self.iteration = int(known.get("iteration") or 0)
            self.exit_code = known.get("exit_code")
            self.before = {str(path): int(when) for path, when in known["before"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            pass  # what cannot be read is begun anew

    def save(self):
        """Raises Failure."""
        known = {
            "attempts": self.attempts,
            "exit_code": self.exit_code,
            "iteration": self.iteration,
            "before": self.before,
        }
        self._write(self.path, known)

    def ends(self, code, iteration):
        """Note the exit code, and the last iteration where one was told."""
        self.exit_code = code
        self.iteration = self.iteration if iteration is None else iteration

    @property
    def is_complete(self):
        return os.path.exists(self.marker)

    def complete(self):
        """Write the completion marker. Raises Failure."""
        done = {"exit_code": 0, "attempts": self.attempts, "ended": int(time.time())}
        self._write(self.marker, done)

    def reopen(self):
        """The run is not complete after all."""
        files.remove(self.marker)

    def _write(self, path, value):
        try:
            files.write(path, json.dumps(value, sort_keys=True).encode("ascii") + b"\n")
        except (IOError, OSError) as error:
            raise _unwritable(path, error)


def _read(path):
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read().decode("utf-8"))
    except (IOError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _unwritable(path, error):
    return Failure(EXIT_OUTPUT, "cannot write %s: %s" % (path, error.strerror))
