"""TensorBoard's event files beside the log of a run: follows the log, writes what it tells.

    python board.pyz LOG FOLDER

The launcher starts it and ends it by closing its stdin; everything that the log holds by then is
written. Tags: train/loss, train/lr, train/rate (iterations a second), and test/<output> for each
output of the first test net, test1/<output> for those of the second and so on. Steps are Caffe's
iterations, times are those of the log's lines.

`board.pyz` is this file as `__main__.py` with tensorboardX, protobuf and packaging beside it;
numpy is the image's own. It needs Python 3.9 or later: an older one, Python 2.7 included, says so
in one line and ends. Whatever fails here is one line in the output; the training goes on.

A run that was killed trains some iterations again. Where iterations go back, and where a process
does not begin at the run's beginning, a session start is written first: TensorBoard drops what it
has of that iteration and later ones. FOLDER/position.json says how far the log was read.
"""

from __future__ import print_function

import json
import math
import os
import re
import select
import signal
import sys
import time

NEEDED = (3, 9)
POLL_SECONDS = 2.0
CHUNK_BYTES = 1 << 20
MARK_BYTES = 512
POSITION = "position.json"
EVENT_FILES = "events.out.tfevents."

PREFIX = re.compile(r"[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(\.\d+) +\d+ [^ \]]+:\d+\] ")  # glog's
NUMBER = r"([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))"
TRAINED = re.compile(r"Iteration (\d+)(?: \(%s iter/s, .*\))?, loss = %s" % (NUMBER, NUMBER))
RATE = re.compile(r"Iteration (\d+), lr = %s" % NUMBER)
TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
TESTED = re.compile(r" *Test net output #\d+: (\S+) = %s" % NUMBER)
NOT_IN_TAGS = re.compile(r"[^-/\w.]")


def say(text, log_path=""):
    """One line in the output, and one in the log, which does not have our output."""
    line = "board: %s" % text
    print(line)
    sys.stdout.flush()
    try:
        handle = os.open(log_path, os.O_WRONLY | os.O_APPEND)
        os.write(handle, (line + "\n").encode("utf-8", "replace"))
        os.close(handle)
    except OSError:
        pass


def seconds_of(stamp, now):
    """Unix time of glog's local time, which has no year: the latest that is not in the future.

    A day is left for clocks that were set back.
    """
    month, day, hour, minute, second = (int(stamp.group(number)) for number in range(1, 6))
    year = time.localtime(now).tm_year
    for guess in (year + 1, year, year - 1):
        found = time.mktime((guess, month, day, hour, minute, second, 0, 0, -1))
        if found <= now + 86400:
            break
    return found + float(stamp.group(6))


class Points(object):
    """What the lines of a log tell, as (tag, step, value, time)."""

    def __init__(self, clock=time.time):
        self.clock = clock
        self.test = None  # the iteration of the last test that began in the lines seen
        self.group = "test"
        self.names = {}

    def of(self, line):
        """A list: empty for most lines. `line` is text."""
        stamp = PREFIX.search(line)
        if not stamp:
            return []
        told = self._told(line[stamp.end() :])
        if not told:
            return []
        when = seconds_of(stamp, self.clock())
        return [(tag, step, value, when) for tag, step, value in told]

    def _told(self, text):
        found = TRAINED.match(text)
        if found:
            step, pace = int(found.group(1)), float(found.group(2) or 0)
            told = [("train/loss", step, float(found.group(3)))]
            # Of the first display of an attempt the pace counts what was done before it.
            if step and pace > 0 and not math.isinf(pace):
                told.append(("train/rate", step, pace))
            return told
        found = RATE.match(text)
        if found:
            return [("train/lr", int(found.group(1)), float(found.group(2)))]
        found = TESTING.match(text)
        if found:
            self.test = int(found.group(1))
            self.group = "test" if found.group(2) == "0" else "test" + found.group(2)
            self.names = {}
            return []
        found = TESTED.match(text)
        if found and self.test is not None:
            return [(self._tag(found.group(1)), self.test, float(found.group(2)))]
        return []

    def _tag(self, name):
        """An output of several numbers is printed once for each: accuracy, accuracy.2, ..."""
        count = self.names[name] = self.names.get(name, 0) + 1
        ending = "" if count == 1 else ".%d" % count
        return "%s/%s%s" % (self.group, NOT_IN_TAGS.sub("_", name), ending)


class Log(object):
    """The whole lines of a growing file, from where an earlier process left off."""

    def __init__(self, path, position):
        self.path = path
        self.offset = 0
        self.file = None
        self.wanted = position

    def lines(self):
        """The lines that are there by now."""
        if self.file is None and not self._open():
            return
        while os.fstat(self.file.fileno()).st_size > self.offset:
            self.file.seek(self.offset)
            data = self.file.read(CHUNK_BYTES)
            end = data.rfind(b"\n") + 1
            if not end and len(data) == CHUNK_BYTES:
                end = len(data)  # no line of a log is that long
            if not end:
                return
            self.offset += end
            for line in data[:end].splitlines():
                yield line.decode("utf-8", "replace")

    def _open(self):
        try:
            self.file = open(self.path, "rb")
        except (IOError, OSError):
            return False
        offset = self.wanted.get("offset", 0)
        # Another machine may have another file of this name.
        if offset and self._mark(offset) == self.wanted.get("before"):
            self.offset = offset
        return True

    def _mark(self, offset):
        """The bytes before `offset`, as text; fewer than there should be where the file ends."""
        start = max(0, offset - MARK_BYTES)
        self.file.seek(start)
        return self.file.read(offset - start).decode("latin-1")

    def position(self):
        return {"offset": self.offset, "before": self._mark(self.offset)}


class Folder(object):
    """TensorBoard's folder of one run; the event file of this process appears with its first
    point."""

    def __init__(self, path):
        self.path = path
        self.writer = None
        self.last_step = 0
        self.has_earlier = self._count() > 0

    def _count(self):
        if not os.path.isdir(self.path):
            return 0
        return len([name for name in os.listdir(self.path) if name.startswith(EVENT_FILES)])

    def position(self):
        try:
            with open(os.path.join(self.path, POSITION)) as file:
                found = json.load(file)
        except (IOError, OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def add(self, point):
        tag, step, value, when = point
        if self.writer is None:
            self._open()
            # What is not here may lie where the results of another machine were copied to.
            starts = self.has_earlier or step > 0
        else:
            starts = step < self.last_step
        if starts:
            log = self.events.SessionLog(status=self.events.SessionLog.START)
            self._write(step=step, wall_time=when, session_log=log)
        self.last_step = step
        scalar = self.summaries.Summary.Value(tag=tag, simple_value=value)
        self._write(step=step, wall_time=when, summary=self.summaries.Summary(value=[scalar]))

    def _open(self):
        event_file_writer, self.events, self.summaries = tensorboard()
        if not os.path.isdir(self.path):
            os.makedirs(self.path)
        # Two processes of one second must not share a name.
        self.writer = event_file_writer.EventsWriter(
            os.path.join(self.path, "events"), ".%04d" % self._count()
        )

    def _write(self, **event):
        self.writer.write_event(self.events.Event(**event))

    def save(self, position):
        """Make durable what was added, then note how far the log was read."""
        self.writer.flush()
        part = os.path.join(self.path, "." + POSITION)
        with open(part, "w") as file:
            json.dump(position, file)
        os.rename(part, os.path.join(self.path, POSITION))


def tensorboard():
    """The modules of tensorboardX that are used.

    Its threads and queues are not: an event a second needs none. What it would load for other
    kinds of summaries, if it is there, is kept out: torch alone takes seconds and 200 MB.
    """
    for name in ("torch", "boto3", "google.cloud", "comet_ml", "PIL", "matplotlib", "moviepy"):
        sys.modules[name] = None
    sys.modules.pop("google", None)  # Debian's protobuf puts its own there when Python starts
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2, summary_pb2

    return event_file_writer, event_pb2, summary_pb2


def follow(log_path, folder_path, is_over, clock=time.time):
    """Write what the log tells until `is_over()`, which waits a while each time, and the rest."""
    folder = Folder(folder_path)
    log = Log(log_path, folder.position())
    points = Points(clock)
    over = False
    while not over:
        over = is_over()
        changed = False
        for line in log.lines():
            for point in points.of(line):
                folder.add(point)
                changed = True
        if changed:
            folder.save(log.position())


def stdin_closed():
    """Sleep up to POLL_SECONDS; whether stdin was closed."""
    ready = select.select([sys.stdin.fileno()], [], [], POLL_SECONDS)[0]
    return bool(ready) and not os.read(sys.stdin.fileno(), 4096)


def main(argv):
    if len(argv) != 2:
        say("usage: board.pyz LOG FOLDER")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        if sys.version_info[:2] < NEEDED:
            version = sys.version.split()[0]
            raise RuntimeError("Python %d.%d or later is needed, this is " % NEEDED + version)
        os.nice(10)
        follow(argv[0], argv[1], stdin_closed)
    except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on without it
        text = str(error) or type(error).__name__
        say("no TensorBoard files from here on: " + text, argv[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
