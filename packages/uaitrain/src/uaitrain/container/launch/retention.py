"""UAITRAIN_KEEP_LAST: which snapshots of a run are kept."""

import os
import re

import files
from pairs import Pairs

import train

SECONDS = 10
"""How often old ones are looked for."""

_TESTING = re.compile(r"\] Iteration (\d+), Testing net \(#(\d+)\)".encode("ascii"))
_ACCURACY = re.compile(
    r"Test net output #\d+: \S*accuracy\S* = ([-+]?\d+\.?\d*(?:e[-+]?\d+)?)".encode("ascii")
)


class Accuracies(object):
    """The test accuracy by iteration, as the growing log of a run tells it.

    Caffe tests before an iteration, with the weights that a snapshot of this number holds.

    Of the first test net, and of its first output whose name holds `accuracy`.
    """

    def __init__(self, path):
        self.path = path
        self.by_iteration = {}
        self._offset = 0
        self._testing = None

    def read(self):
        """Read what is new. Raises IOError, OSError."""
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._look(line)

    def _look(self, line):
        testing = _TESTING.search(line)
        if testing:
            self._testing = int(testing.group(1)) if testing.group(2) == b"0" else None
        elif self._testing is not None:
            found = _ACCURACY.search(line)
            if found:
                self.by_iteration[self._testing] = float(found.group(1))
                self._testing = None


class Retention(object):
    """Keeps the newest `keep` whole pairs, the best one, and the one that the run began with."""

    seconds = SECONDS

    def __init__(self, keep, pairs, accuracies, resumed, say):
        self.say = say
        self.keep = keep
        self.pairs = pairs
        self.accuracies = accuracies
        self.resumed = resumed
        self._whole = {}
        self._told = False

    def apply(self):
        """Remove the others. What goes wrong is told once, and the training goes on."""
        try:
            self._apply()
        except (IOError, OSError) as error:
            if not self._told:
                self.say("old snapshots stay: %s: %s" % (error.filename, error.strerror))
            self._told = True

    def _apply(self):
        whole = [(i, path) for i, path in self.pairs.states() if self._is_whole(path)]
        old = whole[: -self.keep]
        if not old:
            return
        self.accuracies.read()
        kept = best(whole, self.accuracies)
        for _, path in old:
            if path not in (kept, self.resumed):
                files.remove(path)  # the state first: none is without its weights
                files.remove(train.model_of(path))

    def _is_whole(self, path):
        """Whether the pair is whole; one that is, is not read again."""
        try:
            status = os.stat(path)
        except OSError:
            return False
        stamp = (status.st_mtime, status.st_size, status.st_ino)
        if self._whole.get(path) != stamp:
            if not train.is_pair(path):
                return False
            self._whole[path] = stamp
        return True


def retention_of(keep, command, output, output_dir, foreign, resumed):
    """The Retention of a run, None where the command's solver is not known."""
    pairs = Pairs(command, output_dir, foreign or {})
    if not pairs.prefix:
        output.say("UAITRAIN_KEEP_LAST: all snapshots are kept, for the command names no solver")
        return None
    if foreign is None:
        pairs.foreign = pairs.listed()
    return Retention(keep, pairs, Accuracies(output.path), resumed, output.say)


def best(whole, accuracies):
    """The path of the pair with the best accuracy, of equal ones the newest; "" untested."""
    tested = [
        (accuracies.by_iteration[iteration], iteration, path)
        for iteration, path in whole
        if iteration in accuracies.by_iteration
    ]
    return max(tested)[2] if tested else ""
