"""One look at a subject: what several checks need is found out once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from enum import Enum
from functools import cached_property
from pathlib import Path, PurePosixPath

from uaitrain.files.inventory import Entry
from uaitrain.frameworks import caffe
from uaitrain.preflight.paths import CODE, DATA, Place, fault, is_folder, resolve
from uaitrain.preflight.subject import Subject
from uaitrain.spec import DATA_DIR, WORK_DIR
from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Nobody needs them where the findings in the job are remembered.
    from uaitrain.frameworks import caffe_net, prototxt

MOST_HINTS = 2


class Presence(Enum):
    THERE = "there"
    MISSING = "missing"
    IGNORED = "ignored"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class NetUse:
    """A net as one phase of the job uses it."""

    document: prototxt.Document
    state: caffe_net.State
    layers: tuple[caffe_net.NetLayer, ...]

    @property
    def phase(self) -> str:
        from uaitrain.frameworks import caffe_net

        return caffe_net.PHASES[self.state.phase]


@dataclass(frozen=True)
class NetFile:
    """A net's prototxt before it is read; ``said_at`` is where the solver names it."""

    path: str
    place: Place
    said_at: str
    states: tuple[caffe_net.State, ...]


class Look:
    """Caches over a :class:`Subject`; every check gets one and only reads.

    In the folder ``memory`` a check may remember what it need not read again; None: read all.
    """

    def __init__(self, subject: Subject, memory: Path | None = None) -> None:
        self.subject = subject
        self.memory = memory
        self.spec = subject.spec

    @property
    def is_caffe(self) -> bool:
        return self.spec.framework.name == caffe.NAME

    @cached_property
    def entries(self) -> dict[str, Entry]:
        return {entry.path: entry for entry in self.subject.inventory.entries}

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that will exist in the image under ``/data``."""
        found: set[str] = set()
        for path in self.entries:
            head = path.rpartition("/")[0]
            while head and head not in found:
                found.add(head)
                head = head.rpartition("/")[0]
        return frozenset(found)

    @property
    def is_stock(self) -> bool:
        """uaitrain's own ``train.py`` will be the main file."""
        main = self.spec.main_file
        return self.is_caffe and main == caffe.STOCK_ENTRY and main not in self.entries

    @cached_property
    def main_source(self) -> bytes:
        """The main file's bytes, empty where it can't be read."""
        place = self.resolve(self.spec.main_file)
        if self.presence(place) is not Presence.THERE or place.host is None:
            return b""
        try:
            return place.host.read_bytes()
        except OSError:
            return b""

    def resolve(self, path: str) -> Place:
        return resolve(self.spec, path)

    def presence(self, place: Place) -> Presence:
        """Whether the container will find something there (a file or a folder)."""
        if place.host is None:
            return Presence.UNKNOWN
        there = not fault(place.host)
        if place.side != CODE or not there:
            return Presence.THERE if there else Presence.MISSING
        packed = not place.relative or place.relative in self.entries
        return Presence.THERE if packed or place.relative in self.folders else Presence.IGNORED

    @property
    def data_is_there(self) -> bool:
        return is_folder(self.spec.data)

    def told_already(self, place: Place) -> bool:
        """A missing data folder is one finding, not one for every file in it."""
        return place.side == DATA and not self.data_is_there

    def absence(self, place: Place) -> str:
        """Where we looked, as the end of a sentence."""
        if self.presence(place) is Presence.IGNORED:
            return f"{place.container} is left out of the image by the ignore rules ({place.host})"
        why = fault(place.host) if place.host else ""
        if why and why != os.strerror(errno.ENOENT):
            return f"{place.container} cannot be reached: {place.host}: {why}"
        return f"{place.container} does not exist; looked for {place.host}"

    def nearby(self, place: Place) -> tuple[str, ...]:
        """Container paths of what has the same name on the other side; at most two."""
        name = PurePosixPath(place.container).name
        found: list[str] = []
        if not name:
            return ()
        if not fault(self.spec.data / name):
            found.append(f"{DATA_DIR}/{name}")
        found += [
            f"{WORK_DIR}/{path}"
            for path in (*self.entries, *self.folders)
            if path == name or path.endswith("/" + name)
        ]
        return tuple(sorted(set(found) - {place.container}))[:MOST_HINTS]

    @cached_property
    def solver(self) -> prototxt.Document | None:
        """The solver, or None where it is not there to be read."""
        if not self.is_caffe or not self.spec.solver:
            return None
        from uaitrain.frameworks import prototxt

        return self._read(self.resolve(self.spec.solver), prototxt.SOLVER)

    @cached_property
    def facts(self) -> caffe.SolverFacts | None:
        if self.solver is None or self.solver.problems:
            return None
        return caffe.solver_facts(self.solver.message, self.resolve(self.spec.solver).container)

    def _read(self, place: Place, kind: str) -> prototxt.Document | None:
        if self.presence(place) is not Presence.THERE or place.host is None:
            return None
        from uaitrain.frameworks import prototxt

        try:
            return prototxt.read(place.host, kind)
        except OSError:
            return None

    @cached_property
    def net_files(self) -> tuple[NetFile, ...]:
        """Every net file that the solver names, with the phases that use it."""
        if self.solver is None or self.facts is None:
            return ()
        from uaitrain.frameworks import caffe_net

        message, root = self.solver.message, self.solver.root
        train = caffe_net.state_of(message.train_state, caffe_net.TRAIN)
        tests = [caffe_net.state_of(state, caffe_net.TEST) for state in message.test_state]
        own_tests = len(message.test_net) + len(message.test_net_param)
        generic_tests = max(0, len(message.test_iter) - own_tests)
        default = caffe_net.State(caffe_net.TEST)
        found: list[NetFile] = []

        def add(path: str, field: str, index: int, states: list[caffe_net.State]) -> None:
            said = self.solver.where(root.at(field, index)) if self.solver else ""
            found.append(NetFile(path, self.resolve(path), said, tuple(states)))

        if message.net:
            more = tests[own_tests:] or [default] * min(1, generic_tests)
            add(message.net, "net", 0, [train, *(more if generic_tests else [])])
        if message.train_net:
            add(message.train_net, "train_net", 0, [train])
        inline = len(message.test_net_param)
        for index, path in enumerate(message.test_net):
            own = tests[inline + index : inline + index + 1] or [default]
            add(path, "test_net", index, own)
        return tuple(found)

    def inline_nets(self) -> Iterator[tuple[prototxt.Document, caffe_net.State]]:
        """The nets that stand inside the solver."""
        if self.solver is None or self.facts is None:
            return
        from uaitrain.frameworks import caffe_net, prototxt

        message, root = self.solver.message, self.solver.root
        train = caffe_net.state_of(message.train_state, caffe_net.TRAIN)
        for field in ("net_param", "train_net_param"):
            if message.HasField(field):
                net = prototxt.Document(self.solver.path, getattr(message, field), root.at(field))
                yield net, train

    @cached_property
    def nets(self) -> dict[str, prototxt.Document | None]:
        """Every named net, read once, by its container path; None where it can't be read."""
        from uaitrain.frameworks import prototxt

        paths = {file.place.container: file.place for file in self.net_files}
        return {path: self._read(place, prototxt.NET) for path, place in paths.items()}

    @cached_property
    def uses(self) -> tuple[NetUse, ...]:
        """The nets that the run will build, as far as they can be read."""
        from uaitrain.frameworks import caffe_net

        found = [
            NetUse(document, state, caffe_net.active(caffe_net.layers(document), state))
            for document, state in self.inline_nets()
        ]
        for file in self.net_files:
            document = self.nets[file.place.container]
            if document is None or document.problems:
                continue
            every = caffe_net.layers(document)
            found += [
                NetUse(document, state, caffe_net.active(every, state)) for state in file.states
            ]
        return tuple(found)


def at(path: Path, line: int = 0, column: int = 0) -> str:
    """``file``, ``file:line`` or ``file:line:column``."""
    return ":".join([str(path), *(str(number) for number in (line, column) if number)])
