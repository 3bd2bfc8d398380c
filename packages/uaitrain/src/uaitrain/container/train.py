"""The stock entry of Caffe images: trains what --solver says, and ends in a way others can trust.

One file, standard library only, Python 2.7 and 3. The first process (PID 1 in a container)
supervises: it starts a worker, tees its output into the log folder, forwards signals, publishes
complete snapshots and judges the end. The worker trains through pycaffe, or through the `caffe`
program where this Python has no pycaffe or where several GPUs are wanted.

Caffe writes snapshots into a staging folder beside their final place. A pair is published when
the worker has closed both files: first the weights are renamed, then the solver state, whose
`learned_net` names the weights' final place. So a `.solverstate` in the output folder always
has its whole `.caffemodel`, whenever anything was killed.

Exit codes: see EXIT_TABLE. Whatever fails leaves its reason in <output_dir>/failure.
"""

from __future__ import print_function

import argparse
import collections
import errno
import fcntl
import glob
import json
import mmap
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_CRASHED = 4
EXIT_KILLED = 5
EXIT_INPUT = 6
EXIT_OUTPUT = 7
EXIT_DEVICE = 8
EXIT_STOPPED = 143

EXIT_TABLE = """exit codes:
  0    trained to max_iter; the final weights are in the output folder
  1    training failed: a Python exception, or Caffe ended without final weights
  2    wrong arguments
  3    Caffe refused the job (a failed CHECK)
  4    Caffe crashed (segmentation fault and the like)
  5    the training process was killed, most likely for want of memory
  6    the solver or the snapshot cannot be used
  7    the output folder cannot be written
  8    no such GPU, or Caffe without GPU support
  143  stopped after a snapshot, or as another node ended: run again with --snapshot=auto

signals: SIGTERM, SIGINT: snapshot and stop; SIGHUP: snapshot and go on"""

FAILURE_BYTES = 1024
WORKER = "UAITRAIN_TRAIN_WORKER"
LAUNCHED = "UAITRAIN_LAUNCHED"  # the container's first process keeps the log
STAGING = ".snapshots-being-written-"
POLL_SECONDS = 0.25
FATAL_LINE = re.compile(r"^F\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\] ")
PARSE_LINE = re.compile(r"^\[libprotobuf ERROR [^\]]*\] (.*)")
NODE_END = re.compile(r"\] Solver (\d+) of \d+ ends at iteration (\d+), weights ")
CPU_ONLY = "Cannot use GPU in CPU-only Caffe"
NODE_LOST = "another solver is gone"


class Failure(Exception):  # noqa: N818 - it is called by what it is in the output folder
    """Why a run ends badly: `code` is its exit code, the text goes into the failure file."""

    def __init__(self, code, reason):
        Exception.__init__(self, reason)
        self.code = code
        self.reason = reason


# Arguments


def boolean(text):
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError("%r is neither True nor False" % text)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Failure(
            EXIT_USAGE, "wrong arguments: %s\n%s" % (message, self.format_usage().strip())
        )


def read_arguments(argv):
    parser = Parser(
        description="Train the net of a Caffe solver.",
        epilog=EXIT_TABLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--solver", required=True, metavar="FILE", help="the solver prototxt")
    add(
        "--snapshot",
        default="",
        metavar="FILE|auto",
        help="a .solverstate to go on from; auto: the newest complete one of this solver in the "
        "output folder, or a fresh start when there is none",
    )
    add(
        "--use_cpu",
        type=boolean,
        nargs="?",
        const=True,
        metavar="True|False",
        help="train without or with GPUs (default: as the solver says)",
    )
    add("--num_gpus", type=int, metavar="N", help="how many GPUs (default: 1)")
    add(
        "--timing",
        type=boolean,
        nargs="?",
        const=True,
        default=False,
        metavar="True|False",
        help="print times at each display",
    )
    add("--work_dir", default="/data", help="working directory (default: %(default)s)")
    add("--data_dir", default="/data/data", help="the data (default: %(default)s)")
    add("--output_dir", default="/data/output", help="the results (default: %(default)s)")
    add("--log_dir", default="", help="logs (default: log in the output folder)")
    arguments = parser.parse_args(argv)
    arguments.log_dir = arguments.log_dir or os.path.join(arguments.output_dir, "log")
    return arguments


def output_folder_of(argv):
    """The output folder as far as broken arguments tell it."""
    for position, word in enumerate(argv):
        if word.startswith("--output_dir="):
            return word.split("=", 1)[1]
        if word == "--output_dir" and position + 1 < len(argv):
            return argv[position + 1]
    return "/data/output"


# The solver's text


def pattern(text):
    """A pattern for bytes. (Python 2.7 has no rb"", newer formatters know no br"".)"""
    return re.compile(text.encode("ascii"))


QUOTED = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
TOKEN = pattern(r"#[^\n]*|" + QUOTED + r"|[{}<>\[\]:;,]|[^\s{}<>\[\]:;,\"'#]+")
ESCAPE = pattern(r"\\([0-7]{1,3}|.)")
VISIBLE = pattern(r"[^\n]")
ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


class Solver(object):
    """A solver prototxt: its top-level scalars, and its text with some of them replaced.

    It reads as much as is needed here and leaves judging the rest to Caffe.
    """

    def __init__(self, path):
        self.path = path
        try:
            with open(path, "rb") as source:
                self.text = source.read()
        except (IOError, OSError) as error:
            raise Failure(EXIT_INPUT, "cannot read the solver %s: %s" % (path, error.strerror))
        self.fields = {}
        self.balanced = True
        self._read()

    def _read(self):
        tokens = [match for match in TOKEN.finditer(self.text) if match.group()[:1] != b"#"]
        depth = 0
        position = 0
        while position < len(tokens):
            word = tokens[position].group()
            if word in b"{<[":
                depth += 1
            elif word in b"}>]":
                depth -= 1
            elif depth == 0 and [t.group() for t in tokens[position + 1 : position + 2]] == [b":"]:
                first = position + 2
                last = first
                while last < len(tokens) and tokens[last].group()[:1] in (b'"', b"'"):
                    last += 1
                if last == first and first < len(tokens) and tokens[first].group() not in b"{<[":
                    last = first + 1
                if last > first:
                    values = [unquoted(token.group()) for token in tokens[first:last]]
                    span = (tokens[position].start(), tokens[last - 1].end())
                    self.fields[word.decode("latin-1")] = (b"".join(values), span)
                position = max(last, first) - 1
            position += 1
        self.balanced = depth == 0

    def text_of(self, name, default=""):
        value = self.fields.get(name, (None, None))[0]
        return default if value is None else native(value)

    def number_of(self, name):
        try:
            return int(self.text_of(name, "0"), 0)
        except ValueError:
            return 0

    def patched(self, changes):
        """The text with `changes` (name to literal); what is replaced keeps its place blank, so
        that Caffe's messages name the user's own lines."""
        text = self.text
        for name in changes:
            if name in self.fields:
                start, end = self.fields[name][1]
                blank = VISIBLE.sub(b" ", text[start:end])
                text = text[:start] + blank + text[end:]
        lines = ["%s: %s\n" % change for change in sorted(changes.items())]
        return text + b"\n" + raw("".join(lines))


def unquoted(word):
    if word[:1] not in (b'"', b"'"):
        return word
    return ESCAPE.sub(unescaped, word[1:-1])


def unescaped(match):
    code = match.group(1)
    if code.isdigit():
        return struct.pack("B", int(code, 8) & 255)
    return ESCAPES.get(code, code)


def quoted(path):
    return '"%s"' % path.replace("\\", "\\\\").replace('"', '\\"')


if sys.version_info[0] >= 3:
    native, raw = os.fsdecode, os.fsencode
else:
    native = raw = str


# Snapshot files


def varint(file):
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError("cut short")
        value |= (ord(byte) & 127) << shift
        if ord(byte) < 128:
            return value
        shift += 7


def protobuf_fields(path):
    """(number, value or length, start of the value, end) of each top-level field of a message.

    Raises ValueError when the file ends inside a field or is no message at all.
    """
    size = os.path.getsize(path)
    fixed = {1: 8, 5: 4}
    with open(path, "rb") as file:
        while file.tell() < size:
            key = varint(file)
            value = varint(file) if key & 7 in (0, 2) else 0
            start = file.tell()
            if key & 7 not in (0, 1, 2, 5) or key >> 3 == 0:
                raise ValueError("not a protobuf message")
            end = start + (value if key & 7 == 2 else fixed.get(key & 7, 0))
            if end > size:
                raise ValueError("cut short")
            yield key >> 3, value, start, end
            file.seek(end)


def hdf5_check(path):
    """Raises ValueError unless the file has an HDF5 superblock and the size this one states."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head[:8] != b"\x89HDF\r\n\x1a\n":
        raise ValueError("not an HDF5 file")
    offset = {0: 40, 1: 44}.get(ord(head[8:9]), 28)
    if len(head) < 64 or struct.unpack("<Q", head[offset : offset + 8])[0] > os.path.getsize(path):
        raise ValueError("cut short")


def model_of(state):
    for ending, model in ((".solverstate.h5", ".caffemodel.h5"), (".solverstate", ".caffemodel")):
        if state.endswith(ending):
            return state[: -len(ending)] + model
    return ""


def iteration_of(state):
    """The iteration that a solver state is of. Raises ValueError, OSError or IOError."""
    if state.endswith(".h5"):
        hdf5_check(state)
        found = re.search(r"_iter_(\d+)\.solverstate\.h5$", state)
        return int(found.group(1)) if found else 0
    numbers = {number: value for number, value, _, _ in protobuf_fields(state)}
    if 1 not in numbers or 2 not in numbers:
        raise ValueError("not a solver state")
    return numbers[1]


def check_pair(state, model):
    """Raises ValueError, OSError or IOError unless both files are whole.

    Caffe writes a solver state's fields in the order of their numbers and always ends with
    current_step (4), so that a state without it was cut short.
    """
    iteration_of(state)
    if state.endswith(".h5"):
        hdf5_check(model)
        return
    if [field[0] for field in protobuf_fields(state)][-1] != 4:
        raise ValueError("cut short")
    if not {field[0] for field in protobuf_fields(model)} & {2, 100}:
        raise ValueError("no weights in it")


def is_pair(state):
    try:
        check_pair(state, model_of(state))
    except (ValueError, OSError, IOError):
        return False
    return True


def bind_state(state, model, target):
    """Write `state` as `target` with its learned_net naming `model`. Raises ValueError.

    A binary state is copied with that field rewritten. In an HDF5 state the path is a string of
    fixed size, ended by a zero byte, so that a path that is not longer is put over it.
    """
    name = raw(model)
    if state.endswith(".h5"):
        start, end = learned_net_span(state)
        if end - start < len(name):
            raise ValueError("its learned_net cannot be made to name %s" % model)
        shutil.copyfile(state, target)
        with open(target, "r+b") as copy:
            copy.seek(start)
            copy.write(name + b"\0" * (end - start - len(name)))
        return
    with open(state, "rb") as source, open(target, "wb") as copy:
        before = 0
        for number, _, _, end in protobuf_fields(state):
            source.seek(before)
            if number == 2:
                length = bytearray()
                rest = len(name)
                while rest > 127:
                    length.append(rest & 127 | 128)
                    rest >>= 7
                copy.write(b"\x12" + bytes(length + bytearray([rest])) + name)
            else:
                shutil.copyfileobj(_Span(source, end - before), copy, 1 << 20)
            before = end


def learned_net_span(state):
    """Where the path of the weights begins and ends in an HDF5 solver state."""
    ending = b".caffemodel.h5\0"
    with open(state, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            start = content.find(ending)
            if start < 0 or content.find(ending, start + 1) >= 0:
                raise ValueError("not a solver state")
            end = start + len(ending) - 1
            staged = content.find(raw(model_of(state)) + b"\0")
            if staged >= 0:
                return staged, end
            # In front of it lies the iteration, whose last byte is no letter below 500 million.
            while start > 0 and content[start - 1 : start] >= b" ":
                start -= 1
            return start, end
        finally:
            content.close()


class _Span(object):
    """The next `length` bytes of a file, as a file."""

    def __init__(self, file, length):
        self.file = file
        self.left = length

    def read(self, size):
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        return data


def sync(path):
    """Make a file or a folder durable, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
            raise
    finally:
        os.close(handle)


def newest_pair(prefix, max_iter):
    """The complete solver state of the highest iteration up to `max_iter`, and what was skipped."""
    found = []
    for state in glob.glob(glob_escaped(prefix) + "_iter_*.solverstate*"):
        match = re.search(r"_iter_(\d+)\.solverstate(\.h5)?$", state)
        if match and int(match.group(1)) <= max_iter:
            found.append((int(match.group(1)), os.path.getmtime(state), state))
    skipped = []
    for _, _, state in sorted(found, reverse=True):
        try:
            check_pair(state, model_of(state))
        except (ValueError, OSError, IOError) as error:
            skipped.append("%s is skipped: not a complete pair (%s)" % (state, error))
        else:
            return state, skipped
    return "", skipped


def glob_escaped(path):
    return re.sub(r"([*?[])", r"[\1]", path)


class Snapshots(object):
    """Where a run's snapshots are written and where they end."""

    def __init__(self, prefix):
        self.prefix = prefix
        self.folder = os.path.dirname(prefix)
        self.published = set()
        self.restored = ""
        self.problem = ""
        try:
            if not os.path.isdir(self.folder):
                os.makedirs(self.folder)
            self._remove_leftovers()
            self.staging = os.path.join(
                self.folder, "%s%d-%d-%d" % (STAGING, place()[0], os.getpid(), time.time())
            )
            os.mkdir(self.staging)
            self.lock = open(os.path.join(self.staging, "lock"), "w")
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (IOError, OSError) as error:
            raise Failure(
                EXIT_OUTPUT, "cannot write snapshots into %s: %s" % (self.folder, error.strerror)
            )

    def _remove_leftovers(self):
        """What killed runs left behind. A run that lives holds its lock, but for its first moment,
        so that the nodes of one run keep their hands off each other's."""
        mine = "%s%d-*" % (STAGING, place()[0])
        for folder in glob.glob(os.path.join(glob_escaped(self.folder), mine)):
            try:
                with open(os.path.join(folder, "lock"), "a") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            except (IOError, OSError):
                continue

    def staged(self, name):
        return os.path.join(self.staging, name)

    def publish(self, closed):
        """Publish the staged pairs whose state `closed` (a path to True or False) lets pass."""
        base = glob_escaped(self.staged(os.path.basename(self.prefix)))
        states = glob.glob(base + "_iter_*.solverstate")
        states += glob.glob(base + "_iter_*.solverstate.h5")
        for state in sorted(states, key=lambda name: (len(name), name)):
            if closed(state):
                try:
                    self._publish(state)
                except ValueError as error:
                    self.problem = "the snapshot %s is incomplete (%s); is the disk full?" % (
                        os.path.basename(state),
                        error,
                    )
                except (IOError, OSError) as error:
                    self.problem = "cannot publish the snapshot %s: %s" % (
                        os.path.basename(state),
                        error.strerror,
                    )

    def _publish(self, state):
        model = model_of(state)
        final_state = os.path.join(self.folder, os.path.basename(state))
        final_model = model_of(final_state)
        check_pair(state, model)
        if final_state == self.restored:
            # The pair this run began with says the same; replacing it would risk the only one.
            os.unlink(model)
            os.unlink(state)
        else:
            bound = state + ".bound"
            bind_state(state, final_model, bound)
            sync(model)
            sync(bound)
            if os.path.exists(final_state):
                os.unlink(final_state)
                sync(self.folder)
            os.rename(model, final_model)
            os.rename(bound, final_state)
            sync(self.folder)
            os.unlink(state)
        self.published.add(iteration_of(final_state))
        self.problem = ""
        say("snapshot complete: %s" % final_state)

    def close(self):
        shutil.rmtree(self.staging, ignore_errors=True)
        self.lock.close()


def is_closed(process, path):
    """Whether a living process has closed a file.

    A process that is being killed shows no open files at all. Where /proc does not tell, a
    binary state counts as closed (check_pair finds one that is cut short), an HDF5 one does not.
    """
    try:
        handles = os.listdir("/proc/%d/fd" % process)
        names = []
        for handle in handles:
            try:
                names.append(os.readlink("/proc/%d/fd/%s" % (process, handle)))
            except OSError:
                continue
    except OSError:
        return not path.endswith(".h5")
    return bool(names) and os.path.realpath(path) not in names


# The worker


class Stop(Exception):  # noqa: N818 - no error
    """The run was asked to stop and its snapshot is written."""


def work(order):
    """Train, in the worker's process. Its exit code is 0 when Caffe came to an orderly end."""
    asked = set()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: asked.add(number))
    if len(order["gpus"]) > 1:
        become_caffe(order, "several GPUs")
    if place()[1] > 1:
        if not knows_nodes():
            raise RuntimeError(
                "only the engine on PyTorch trains on several nodes: pack with --engine torch, or "
                "run on one node"
            )
        become_caffe(order, "several nodes")
    try:
        import caffe
    except ImportError as error:
        become_caffe(order, "no pycaffe for this Python: %s" % error)
    try:
        train(caffe, order, asked)
    except Stop:
        pass
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    # Caffe's own teardown at interpreter exit is not always orderly; the work is done.
    os._exit(0)


def place():
    """(rank, number of solvers) as torch.distributed's variables say it, a solver a node."""
    try:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1


def knows_nodes():
    """Whether this Python's Caffe is the engine that joins others; without loading it."""
    try:
        from importlib.util import find_spec
    except ImportError:
        return False  # Python 2.7
    found = find_spec("caffe")
    folder = os.path.dirname(found.origin or "") if found else ""
    return os.path.exists(os.path.join(folder, "parallel.py"))


def train(caffe, order, asked):
    if hasattr(caffe, "init_log"):
        caffe.init_log()
    if order["gpus"]:
        caffe.set_device(order["gpus"][0])
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    solver = caffe.get_solver(str(order["solver"]))
    if order["snapshot"]:
        solver.restore(str(order["snapshot"]))

    def look(*_):
        if not asked:
            return
        wanted = set(asked)
        asked.clear()
        solver.snapshot()
        if wanted != {signal.SIGHUP}:
            raise Stop()

    clock = Clock(order["display"]) if order["timing"] else None

    def before():
        look()
        if clock:
            clock.starts(solver.iter)

    solver.add_callback(before, clock.has_gradients if clock else lambda: None)
    for net in solver.test_nets:
        # A long test must not outlast the time that is left after SIGTERM.
        if hasattr(net, "before_forward"):
            net.before_forward(look)
    solver.solve()


class Clock(object):
    """Mean times of iterations, printed every `display` iterations."""

    def __init__(self, display):
        self.display = display or 100
        self.count = 0
        self.forward_backward = self.update = 0.0
        self.started = self.ready = 0.0

    def starts(self, iteration):
        now = time.time()
        if self.ready:
            self.update += now - self.ready
            self.count += 1
        if self.count and iteration % self.display == 0:
            say(
                "timing at iteration %d: forward and backward %.2f ms, the rest %.2f ms"
                % (
                    iteration,
                    1000 * self.forward_backward / self.count,
                    1000 * self.update / self.count,
                )
            )
            self.count = 0
            self.forward_backward = self.update = 0.0
        self.started = time.time()

    def has_gradients(self):
        self.ready = time.time()
        self.forward_backward += self.ready - self.started


def become_caffe(order, reason):
    """Go on as the `caffe` program, in this very process."""
    if order["timing"]:
        say("--timing needs pycaffe and one GPU at most: no times will be printed")
    words = ["train", "--solver=" + order["solver"], "--sigint_effect=stop"]
    words.append("--sighup_effect=snapshot")
    if order["snapshot"]:
        words.append("--snapshot=" + order["snapshot"])
    if order["gpus"]:
        words.append("--gpu=" + ",".join(str(gpu) for gpu in order["gpus"]))
    say("training through the caffe program (%s)" % reason)
    sys.stdout.flush()
    # It sets its own handlers; until then a signal must not end it. A stop is sent again.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for command in (["caffe"], [sys.executable, "-m", "caffe"]):
        try:
            os.execvp(command[0], [str(word) for word in command + words])
        except OSError as error:
            problem = error.strerror
    raise RuntimeError("neither pycaffe nor the caffe program can be used: %s" % problem)


# The supervisor


LOG = []  # the log's file descriptor, as soon as there is one


def say(text):
    emit(1, raw("train.py: %s\n" % text))


def emit(stream, data):
    """Show output and log it. A closed terminal or a full disk does not end the training."""
    for handle in [stream] + LOG:
        rest = data
        while rest:
            try:
                rest = rest[os.write(handle, rest) :]
            except OSError as error:
                if error.errno != errno.EINTR:
                    break


def open_log(folder):
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        name = os.path.join(folder, "train-%s-%d" % (stamp, os.getpid()))
        for ending in [".log"] + ["-%d.log" % number for number in range(2, 1000)]:
            if not os.path.exists(name + ending):
                LOG.append(os.open(name + ending, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
                return
    except (IOError, OSError) as error:
        raise Failure(EXIT_OUTPUT, "cannot write logs into %s: %s" % (folder, error.strerror))


class Supervisor(object):
    """One worker from start to end."""

    def __init__(self, order, snapshots, work_dir, solver):
        self.snapshots = snapshots
        # In the output, temporary names are shown as the user's own.
        self.names = [
            (raw(order["solver"]), raw(solver)),
            (raw(os.path.join(snapshots.staging, "")), raw(os.path.join(snapshots.folder, ""))),
        ]
        self.tail = collections.deque(maxlen=400)
        self.stopping = False
        self.asked_at = 0.0
        self.status = None
        self.signals = []
        environment = dict(os.environ, GLOG_logtostderr="1", PYTHONUNBUFFERED="1")
        environment[WORKER] = json.dumps(order)
        paths = [work_dir] + [p for p in [os.environ.get("PYTHONPATH")] if p]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        # What pycaffe imports wants a home, also for a user whom no passwd file knows.
        environment.setdefault("HOME", snapshots.staging)
        environment.setdefault("MPLCONFIGDIR", snapshots.staging)
        wake_read, wake_write = os.pipe()
        for end in (wake_read, wake_write):
            fcntl.fcntl(end, fcntl.F_SETFL, os.O_NONBLOCK)
            fcntl.fcntl(end, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, frame: self.signals.append(number))
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            preexec_fn=prepare_worker,
            close_fds=True,
        )
        self.process.stdin.close()
        self.pid = self.process.pid
        self.wake = wake_read
        self.streams = {self.process.stdout.fileno(): 1, self.process.stderr.fileno(): 2}
        self.rests = {1: b"", 2: b""}

    def run(self):
        """Supervise until the worker has ended; its wait status is in `status` then."""
        looked_at = 0.0
        while self.status is None:
            self._read(POLL_SECONDS)
            self._forward()
            self._reap()
            if self.status is None and time.time() - looked_at > 2 * POLL_SECONDS:
                self.snapshots.publish(lambda path: is_closed(self.pid, path))
                looked_at = time.time()
        deadline = time.time() + 2
        while self.streams and time.time() < deadline:
            self._read(0.1)
        # Whatever the worker started and left must not outlive the run.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass
        self.process.returncode = self.status

    def _read(self, seconds):
        try:
            ready = select.select(list(self.streams) + [self.wake], [], [], seconds)[0]
        except (select.error, OSError):
            return
        for handle in ready:
            try:
                data = os.read(handle, 65536)
            except OSError:
                continue
            if handle == self.wake:
                continue
            if not data:
                del self.streams[handle]
                continue
            stream = self.streams[handle]
            for temporary, own in self.names:
                data = data.replace(temporary, own)
            emit(stream, data)
            lines = (self.rests[stream] + data).split(b"\n")
            self.rests[stream] = lines.pop()[-4096:]
            self.tail.extend(line.decode("utf-8", "replace") for line in lines)

    def _forward(self):
        now = time.time()
        while self.signals:
            number = self.signals.pop(0)
            if number == signal.SIGHUP:
                self._send(signal.SIGHUP)
            elif not self.stopping:
                say("asked to stop: writing a snapshot first")
                self.stopping = True
        # A worker that has just started may not listen yet, so a stop is sent until it is heard.
        if self.stopping and now - self.asked_at > 1:
            self._send(signal.SIGINT)
            self.asked_at = now

    def _send(self, number):
        try:
            os.kill(self.pid, number)
        except OSError:
            pass

    def _reap(self):
        """Collect every ended child: PID 1 inherits the orphans of a container."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except OSError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status


def prepare_worker():
    """Between fork and exec: a group of its own, signals ignored until handlers stand, and an
    end with its supervisor."""
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        pass


def judge(supervisor, snapshots, max_iter):
    """The exit code of an orderly end. Raises Failure for any other."""
    number = os.WTERMSIG(supervisor.status) if os.WIFSIGNALED(supervisor.status) else 0
    # The caffe program gives up its handlers when all is written; a repeated stop may end it then.
    orderly = supervisor.status == 0 or (supervisor.stopping and number == signal.SIGINT)
    snapshots.publish(lambda path: orderly or not path.endswith(".h5"))
    if orderly:
        if max_iter in snapshots.published or ended_at(supervisor.tail) == max_iter:
            return EXIT_DONE
        if snapshots.problem:
            raise Failure(EXIT_OUTPUT, snapshots.problem)
        if supervisor.stopping:
            return EXIT_STOPPED
        raise Failure(EXIT_FAILED, "Caffe ended without the weights of iteration %d" % max_iter)
    reason = native_reason(supervisor.tail)
    if CPU_ONLY in reason:
        raise Failure(
            EXIT_DEVICE, "this image's Caffe has no GPU support: use --use_cpu=True, or a GPU image"
        )
    if NODE_LOST in reason and place()[1] > 1:
        # Nothing is wrong here: what befell the other node decides about the run. On one node,
        # with several GPUs, nobody else would tell of the failure.
        say("another node's training ended (%s)" % reason)
        return EXIT_STOPPED
    if number == signal.SIGABRT:
        raise Failure(EXIT_REFUSED, reason or "Caffe aborted")
    if number == signal.SIGKILL:
        raise Failure(EXIT_KILLED, "the training process was killed" + memory_hint())
    if number:
        raise Failure(EXIT_CRASHED, "Caffe crashed by signal %d. %s" % (number, reason))
    raise Failure(EXIT_FAILED, reason or "exit code %d" % os.WEXITSTATUS(supervisor.status))


def ended_at(tail):
    """The iteration at which a solver ended that is not the first of several: that one alone
    writes the weights. -1 for others."""
    rank = place()[0]
    for line in reversed(tail):
        found = NODE_END.search(line)
        if rank and found and int(found.group(1)) == rank:
            return int(found.group(2))
    return -1


def native_reason(tail):
    """Why Caffe or Python ended, from the last lines of the output."""
    reasons = []
    for line in tail:
        parse = PARSE_LINE.match(line)
        if parse:
            reasons.append(parse.group(1))
        elif FATAL_LINE.match(line):
            reasons.append(line.split("] ", 1)[1])
        elif line.startswith("train.py: failed: "):
            reasons.append(line.split(": ", 2)[2])
    return "; ".join(reasons[-3:])


def memory_hint():
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                limit = int(file.read())
        except (IOError, OSError, ValueError):
            continue
        if limit < 1 << 50:
            return ", most likely for want of memory (limit: %d MiB)" % (limit >> 20)
    return ", most likely for want of memory"


# One run


def choose_gpus(arguments, solver):
    """The GPU ids to train on; empty for the CPU. Raises Failure."""
    mode = solver.text_of("solver_mode")
    count = gpu_count()
    use_cpu = arguments.use_cpu
    if use_cpu is None and arguments.num_gpus is None:
        use_cpu = mode in ("CPU", "0") or (not mode and count == 0)
    if use_cpu or (use_cpu is None and arguments.num_gpus == 0):
        return []
    wanted = 1 if arguments.num_gpus is None else arguments.num_gpus
    if wanted > 1 and place()[1] > 1:
        raise Failure(EXIT_USAGE, "--num_gpus=%d on several nodes: one on each it is" % wanted)
    if wanted < 1:
        raise Failure(EXIT_USAGE, "--num_gpus=%d: it must be 1 or more with GPUs" % wanted)
    if wanted > count:
        raise Failure(
            EXIT_DEVICE,
            "%d GPU%s wanted, but %s here: use --use_cpu=True or a smaller --num_gpus, and start "
            "the container with GPUs (nvidia-docker, or docker run --gpus all)"
            % (
                wanted,
                "s are" if wanted > 1 else " is",
                "%d can be seen" % count if count else "none can be seen",
            ),
        )
    return list(range(wanted))


def gpu_count():
    devices = [path for path in glob.glob("/dev/nvidia*") if re.match(r"/dev/nvidia\d+$", path)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return len(devices)
    return min(len(devices), len([name for name in visible.split(",") if name not in ("", "-1")]))


def final_prefix(solver, output_dir):
    """Where the solver's snapshots end: an absolute prefix under the output folder."""
    stem = os.path.splitext(os.path.basename(solver.path))[0]
    prefix = os.path.abspath(solver.text_of("snapshot_prefix") or os.path.join(output_dir, stem))
    if os.path.isdir(prefix):
        prefix = os.path.join(prefix, stem)
    output = os.path.realpath(output_dir)
    if not (os.path.realpath(os.path.dirname(prefix)) + os.sep).startswith(output + os.sep):
        raise Failure(
            EXIT_INPUT,
            "snapshot_prefix %s is outside the output folder %s: what is written there is lost "
            "with the container" % (prefix, output_dir),
        )
    return prefix


def chosen_state(arguments, prefix, max_iter):
    """The solver state to go on from ("" for a fresh start). Raises Failure."""
    if not arguments.snapshot:
        return ""
    if arguments.snapshot == "auto":
        state, skipped = newest_pair(prefix, max_iter)
        for line in skipped:
            say(line)
        say("going on from %s" % state if state else "no complete snapshot yet: starting afresh")
        return state
    state = os.path.abspath(arguments.snapshot)
    if not model_of(state):
        raise Failure(
            EXIT_INPUT, "--snapshot=%s: it must be a .solverstate (or .solverstate.h5)" % state
        )
    try:
        iteration = iteration_of(state)
    except (ValueError, IOError, OSError) as error:
        raise Failure(EXIT_INPUT, "cannot use the snapshot %s: %s" % (state, error.args[-1]))
    if iteration > max_iter:
        raise Failure(
            EXIT_INPUT,
            "the snapshot %s is of iteration %d, beyond max_iter %d" % (state, iteration, max_iter),
        )
    return state


def restorable(state, snapshots):
    """A state whose learned_net names the weights beside it, wherever they were written first."""
    model = model_of(state)
    if not os.path.exists(model):
        return state
    bound = snapshots.staged("restore" + state[state.index(".solverstate") :])
    try:
        bind_state(state, model, bound)
    except ValueError:
        return state
    return bound


def run(arguments):
    os.chdir(arguments.work_dir)
    solver = Solver(arguments.solver)
    max_iter = solver.number_of("max_iter")
    if solver.balanced and max_iter < 1:
        raise Failure(EXIT_INPUT, "the solver %s has no max_iter of 1 or more" % solver.path)
    gpus = choose_gpus(arguments, solver)
    prefix = final_prefix(solver, arguments.output_dir)
    state = chosen_state(arguments, prefix, max_iter)
    done = bool(state) and iteration_of(state) == max_iter
    if done and state.startswith(prefix + "_iter_") and is_pair(state):
        say("already trained to iteration %d: %s" % (max_iter, model_of(state)))
        return EXIT_DONE
    snapshots = Snapshots(prefix)
    snapshots.restored = state
    try:
        changes = {
            "snapshot_prefix": quoted(snapshots.staged(os.path.basename(prefix))),
            "snapshot_after_train": "true",
            "solver_mode": "GPU" if gpus else "CPU",
        }
        if done:
            changes["snapshot"] = "0"
        with open(snapshots.staged("solver.prototxt"), "wb") as file:
            file.write(solver.patched(changes))
        order = {
            "solver": file.name,
            "snapshot": restorable(state, snapshots) if state else "",
            "gpus": gpus,
            "timing": arguments.timing,
            "display": solver.number_of("display"),
        }
        supervisor = Supervisor(order, snapshots, arguments.work_dir, solver.path)
        supervisor.run()
        code = judge(supervisor, snapshots, max_iter)
        say(
            "trained to iteration %d" % max_iter
            if code == EXIT_DONE
            else "stopped; run again with --snapshot=auto to go on"
        )
        return code
    finally:
        snapshots.close()


def write_failure(folder, reason):
    text = raw(reason)[: FAILURE_BYTES - 1].decode("utf-8", "ignore").encode("utf-8") + b"\n"
    part = os.path.join(folder, ".failure-%d" % os.getpid())
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder)
        with open(part, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, os.path.join(folder, "failure"))
    except (IOError, OSError) as error:
        say("cannot write %s: %s" % (os.path.join(folder, "failure"), error.strerror))


def main(argv):
    folder = output_folder_of(argv)
    try:
        arguments = read_arguments(argv)
        folder = os.path.abspath(arguments.output_dir)
        arguments.output_dir = folder
        if os.path.exists(os.path.join(folder, "failure")):
            os.unlink(os.path.join(folder, "failure"))
        if LAUNCHED not in os.environ:
            open_log(arguments.log_dir)
        say("started: %s" % " ".join(argv))
        return run(arguments)
    except Failure as failure:
        code, reason = failure.code, failure.reason
    except (IOError, OSError) as error:
        code = EXIT_OUTPUT
        reason = "%s: %s" % (error.filename or "system error", error.strerror or error)
    say("failed: %s" % reason)
    write_failure(folder, reason)
    return code


if __name__ == "__main__":
    if WORKER in os.environ:
        try:
            work(json.loads(os.environ.pop(WORKER)))
        except Exception as error:  # noqa: BLE001 - any exception of the net's layers ends here
            import traceback

            traceback.print_exc()
            say("failed: %s: %s" % (type(error).__name__, error))
            sys.exit(EXIT_FAILED)
    sys.exit(main(sys.argv[1:]))
