"""Data in: a place's files into the data folder, whole and verified, once.

A file appears under its name when it is whole: rclone writes aside, compares what arrived with the
store's MD5 (its size where the store has none) and renames. A second start lists the place and
moves only what is missing. The marker says what was fetched whole; it is written last.
"""

from __future__ import print_function

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time

import mover as movers
from places import EXIT_DATA, EXIT_STOPPED, StagingError, local

MARKER = ".uaitrain-fetched"
LOCK = ".uaitrain-fetching"
PATIENCE_SECONDS = 60  # with a store that does not answer
PAUSE_SECONDS = 3
SPARE_BYTES = 64 << 20  # left free on the disk
ROUNDS = 3  # for a place that changes while it is copied
FLAGS = [
    "--transfers=8",
    "--checkers=16",
    "--exclude=/" + MARKER,
    "--exclude=/" + LOCK,
]


class Fetch(object):
    """One copy of `place` into `folder`; `say` gets a line every few seconds."""

    def __init__(self, mover, place, folder, say):
        self.mover = mover
        self.place = place
        self.folder = folder
        self.say = lambda text: say("data: " + text)
        self.marker = os.path.join(folder, MARKER)

    def run(self):
        """Raises StagingError."""
        if self.place.folder and same_folder(self.place.folder, self.folder):
            return
        try:
            with locked(self.folder, self.say):
                self._run()
        except movers.Trouble as trouble:
            if trouble.kind == movers.STOPPED:
                raise StagingError(EXIT_STOPPED, "stopped while data were fetched")
            raise StagingError(
                EXIT_DATA, "cannot fetch data from %s: %s" % (self.place.shown, trouble)
            )
        except (IOError, OSError) as error:
            reason = "cannot write data into %s: %s" % (self.folder, error.strerror)
            raise StagingError(EXIT_DATA, reason)

    def _run(self):
        known = read_json(self.marker)
        try:
            wanted = patient(self._list)
        except movers.Trouble as trouble:
            if trouble.kind == movers.UNREACHABLE and known.get("source") == self.place.shown:
                self.say("%s: %s; what was fetched before is used" % (self.place.shown, trouble))
                return
            raise
        if not wanted:
            raise movers.Trouble(movers.MISSING, "no file is there")
        if known == self._description(wanted) and not self._missing(wanted):
            self.say("%s was fetched before" % self.place.shown)
            return
        for _ in range(ROUNDS):
            self._check_space(wanted)
            self._copy(wanted)
            copied, wanted = wanted, patient(self._list)
            if copied == wanted:
                break
            self.say("%s changed while it was copied; copying what changed" % self.place.shown)
        missing = self._missing(wanted)
        if copied != wanted or missing:
            raise movers.Trouble(movers.CHANGED, missing[0] if missing else "")
        remove_parts(self.folder)
        write_json(self.marker, self._description(wanted))
        by_md5 = len([one for one in wanted.values() if one.md5 or self.place.folder])
        self.say(
            "%d files, %s, are here whole: %d verified by MD5, %d by size"
            % (len(wanted), size(total(wanted)), by_md5, len(wanted) - by_md5)
        )

    def _list(self):
        found = self.mover.list(self.place, hashes=True)
        return {path: one for path, one in found.items() if path not in (MARKER, LOCK)}

    def _description(self, wanted):
        digest = hashlib.sha256(repr(sorted(wanted.values())).encode("utf-8", "replace"))
        return {
            "source": self.place.shown,
            "files": len(wanted),
            "bytes": total(wanted),
            "listing": digest.hexdigest(),
        }

    def _copy(self, wanted):
        missing = self._missing(wanted)
        self.say(
            "copying %s: %d files, %s; %d files are here already"
            % (self.place.shown, len(wanted), size(total(wanted)), len(wanted) - len(missing))
        )
        deadline = time.time() + PATIENCE_SECONDS
        while True:
            try:
                self.mover.copy(self.place, local(self.folder), flags=FLAGS, progress=self._tell)
                return
            except movers.Trouble as trouble:
                if trouble.kind not in (movers.UNREACHABLE, movers.CHANGED):
                    raise
                left = self._missing(wanted)
                if len(left) < len(missing):
                    missing, deadline = left, time.time() + PATIENCE_SECONDS
                if time.time() > deadline:
                    raise
                self.say("%s: %s; trying again" % (self.place.shown, trouble))
                time.sleep(PAUSE_SECONDS)

    def _tell(self, stats):
        if stats.get("totalTransfers"):
            self.say(
                "%s of %s, %d of %d files, %s/s"
                % (
                    size(stats.get("bytes", 0)),
                    size(stats.get("totalBytes", 0)),
                    stats.get("transfers", 0),
                    stats["totalTransfers"],
                    size(stats.get("speed", 0)),
                )
            )

    def _missing(self, wanted):
        """By name and size; the mover looks closer."""
        return sorted(path for path, one in wanted.items() if self._size_here(path) != one.size)

    def _size_here(self, path):
        try:
            return os.path.getsize(os.path.join(self.folder, path))
        except OSError:
            return -1

    def _check_space(self, wanted):
        needed = sum(wanted[path].size for path in self._missing(wanted))
        status = os.statvfs(self.folder)
        free = status.f_bavail * status.f_frsize
        if needed and needed + SPARE_BYTES > free:
            raise movers.Trouble(
                movers.FULL,
                "%s are needed in %s, %s are free"
                % (size(needed + SPARE_BYTES), self.folder, size(free)),
            )


def patient(ask):
    """What `ask()` gives; a store that cannot be reached is asked again for a minute."""
    deadline = time.time() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except movers.Trouble as trouble:
            if trouble.kind != movers.UNREACHABLE or time.time() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


@contextlib.contextmanager
def locked(folder, say):
    """One process at a time fills `folder`, also one that several machines share."""
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with open(os.path.join(folder, LOCK), "a") as lock:
        told = False
        while not try_lock(lock):
            if not told:
                say("another process fills %s; waiting for it" % folder)
                told = True
            time.sleep(1)
        yield


def try_lock(file):
    """Whether it is ours now; a file system without locks counts as if."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (IOError, OSError) as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def same_folder(one, other):
    return os.path.realpath(one) == os.path.realpath(other)


def remove_parts(folder):
    """What killed copies have left."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(movers.PART):
                os.unlink(os.path.join(parent, name))


def read_json(path):
    """A dict; empty where there is none."""
    try:
        with open(path) as file:
            found = json.load(file)
    except (IOError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path, value):
    """Whole or not at all."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    part = os.path.join(folder, "." + name + movers.PART)
    with open(part, "w") as file:
        json.dump(value, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.rename(part, path)


def total(objects):
    return sum(one.size for one in objects.values())


def size(count):
    """Bytes for people, in powers of 1000."""
    count = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return ("%d %s" if unit == "bytes" else "%.1f %s") % (count, unit)
