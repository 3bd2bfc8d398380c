"""The mover, rclone, as a child process: list, copy, delete.

Its messages are JSON lines, read here and told in our words. It leads a session, so that
signals for the run pass it by and the launcher's reaper leaves it to us; beside a training it has
the lowest priority.
"""

from __future__ import print_function

import collections
import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

PART = ".uaitrain-part"
"""How files end that are still being written; rclone takes 16 characters at most."""

STATS_SECONDS = 5
ONCE = ["--retries=1", "--low-level-retries=1", "--contimeout=10s", "--timeout=30s"]
"""Whoever calls decides what is tried again and how long: rclone's own would take minutes."""

MISSING = "it does not exist"
REFUSED = "the credentials are refused"
UNREACHABLE = "it cannot be reached"
FULL = "the disk is full"
CHANGED = "it changed while it was read"
STOPPED = "stopped"
OTHER = "the mover failed"

CAUSES = (
    (REFUSED, r"SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|Forbidden|StatusCode: 40[13]"
              r"|InvalidToken|ExpiredToken|no EC2 IMDS role|failed to refresh cached credentials"),
    (MISSING, r"NoSuchBucket|directory not found|InvalidBucketName"),
    (FULL, r"no space left on device|disk quota exceeded|too big for remaining disk"),
    (CHANGED, r"source file is being updated|corrupted on transfer|object not found|NoSuchKey"
              r"|PreconditionFailed|sizes differ|hash(es)? differ"),
    (UNREACHABLE, r"dial tcp|connection re|no such host|timeout|timed out|StatusCode: (0|5\d\d)\b"
                  r"|EOF\b|broken pipe|TLS|x509|network is unreachable"),
)  # fmt: skip
"""What the mover's messages mean; the first that fits counts."""

DETAIL = re.compile(r"api error .*|dial tcp.*|no space left on device|x509.*|StatusCode: \d+")

Object = collections.namedtuple("Object", "path size time md5")
"""A file of a place; `time` as the store writes it, `md5` empty where the store has none."""


class Trouble(Exception):  # noqa: N818 - it is judged by whoever asked
    """The mover did not do what it was asked: `kind` is of CAUSES, `done` what it did do."""

    def __init__(self, kind, detail="", done=()):
        Exception.__init__(self, kind + (" (%s)" % detail if detail else ""))
        self.kind = kind
        self.done = set(done)


class Mover(object):
    """rclone with the environment of `access`. Its methods raise Trouble."""

    def __init__(self, access):
        self.access = access
        self.nice = False
        self.child = None
        self.stopped = False

    def list(self, place, includes=(), hashes=False):
        """The files below `place` by path; with `includes`, those that fit one of these filters."""
        words = ["lsjson", place.remote, "--recursive", "--files-only", "--no-mimetype"]
        words += ["--fast-list"] + store_times(place)
        words += ["--hash", "--hash-type=MD5"] if hashes and not place.folder else []
        words += ["--include=" + each for each in includes]
        found = []
        with tempfile.TemporaryFile() as said:
            child = self._start(words, stdout=subprocess.PIPE, stderr=said)
            with ended(child):
                for line in lines_of(child.stdout):
                    if line[:1] == b"{":
                        found.append(
                            object_of(json.loads(line.strip().rstrip(b",").decode("utf-8")))
                        )
                status = self._end(child)
            said.seek(0)
            messages = [message_of(line)["msg"] for line in said]
        if status:
            raise self._trouble(messages)
        return {one.path: one for one in found}

    def copy(self, source, target, names=None, flags=(), progress=None):
        """Copy `names`, or everything, below `source` to the same names below `target`.

        `progress` gets rclone's stats now and then. Trouble's `done` has the names that arrived.
        """
        words = ["copy", source.remote, target.remote, "--verbose", "--partial-suffix=" + PART]
        words += ["--stats=%ds" % STATS_SECONDS]
        words += store_times(source) if names is None else ["--no-traverse"]
        self._talk(words + list(flags), names, progress)

    def delete(self, place, names):
        """Delete `names` below `place`; one that is not there is no trouble."""
        self._talk(["delete", place.remote, "--verbose"], names, None)

    def stop(self):
        """End what runs; every call from now on raises Trouble(STOPPED)."""
        self.stopped = True
        child = self.child
        if child is not None:
            terminate(child)

    def _talk(self, words, names, progress):
        moved, messages = [], []
        with tempfile.TemporaryFile() as wanted:
            if names is not None:
                wanted.write(b"\n".join(raw(name) for name in sorted(names)) + b"\n")
                wanted.seek(0)
                words = words + ["--files-from-raw=-"]
            child = self._start(words, stdin=wanted, stderr=subprocess.PIPE)
        with ended(child):
            for line in lines_of(child.stderr):
                message = message_of(line)
                if progress and message.get("stats"):
                    progress(message["stats"])
                if message["msg"].startswith(("Copied", "Updated modification time")):
                    moved.append(native(message.get("object", "")))
                elif message.get("level") != "info":
                    messages.append(message["msg"])
            status = self._end(child)
        if status:
            raise self._trouble(messages, moved)

    def _start(self, words, stdin=None, stdout=None, stderr=None):
        if self.stopped:
            raise Trouble(STOPPED)
        program = [self.access.program]
        if self.nice and os.path.exists("/usr/bin/nice"):
            program = ["/usr/bin/nice", "-n", "19"] + program
        # In its own memory alone: no file has a say, and none is written.
        words = program + words + ["--config=", "--use-json-log"] + ONCE
        options = {"stderr": stderr, "env": self.access.environment, "close_fds": True}
        if sys.version_info[0] > 2:
            options["start_new_session"] = True
        else:
            options["preexec_fn"] = os.setsid
        with open(os.devnull, "r+b") as nothing:
            options.update(stdin=stdin or nothing, stdout=stdout or nothing)
            try:
                self.child = subprocess.Popen(words, **options)
            except OSError as error:
                raise Trouble(OTHER, "%s: %s" % (self.access.program, error.strerror))
        if self.stopped:  # between the question above and now
            self.stop()
        return self.child

    def _end(self, child):
        """The wait status; one that somebody else has taken is none of success."""
        self.child = None
        while True:
            try:
                status = os.waitpid(child.pid, 0)[1]
                break
            except OSError as error:
                if error.errno == errno.ECHILD:
                    status = -1
                    break
                if error.errno != errno.EINTR:
                    raise
        child.returncode = status  # subprocess must not ask again
        return status

    def _trouble(self, messages, done=()):
        if self.stopped:
            return Trouble(STOPPED, done=done)
        for message in reversed(messages):
            for kind, words in CAUSES:
                if re.search(words, message, re.I):
                    found = DETAIL.search(message)
                    return Trouble(kind, self._shown(found.group() if found else message), done)
        return Trouble(OTHER, self._shown(messages[-1] if messages else "it was killed"), done)

    def _shown(self, text):
        return self.access.scrub(text).strip()[:200]


@contextlib.contextmanager
def ended(child):
    """Where the block is left by an exception, a signal's among them, the child ends as well."""
    try:
        yield
    finally:
        for stream in (child.stdout, child.stderr):
            if stream:
                stream.close()
        if child.returncode is None:
            terminate(child)


def terminate(child):
    try:
        os.kill(child.pid, signal.SIGTERM)
    except OSError:
        pass


def object_of(one):
    md5 = one.get("Hashes", {}).get("md5", "")
    return Object(native(one["Path"]), one["Size"], str(one["ModTime"]), str(md5))


def lines_of(stream):
    """The lines of a pipe. (Python 2.7 gives up when a signal comes between.)"""
    rest = b""
    while True:
        try:
            data = os.read(stream.fileno(), 1 << 16)
        except (IOError, OSError) as error:
            if error.errno == errno.EINTR:
                continue
            raise
        if not data:
            break
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield line
    if rest:
        yield rest


def store_times(place):
    """A store's own times: the ones of the files cost a request for each."""
    return [] if place.folder else ["--use-server-modtime"]


def message_of(line):
    """A line of the mover's log as a dict with at least `msg`."""
    text = line.decode("utf-8", "replace").strip()
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        message = {"msg": text}
    message.setdefault("msg", "")
    return message


if sys.version_info[0] > 2:
    raw = os.fsencode

    def native(text):
        """A name of the mover's as the file system's functions give it."""
        return os.fsdecode(text.encode("utf-8"))
else:

    def native(text):
        return text.encode("utf-8")

    def raw(name):
        return name
