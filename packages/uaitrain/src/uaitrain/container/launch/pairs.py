"""Snapshot pairs in the output folder, told apart by what train.py knows of them."""

import os
import re

import train

_STATE = re.compile(r"(?P<prefix>.*)_iter_(?P<iteration>\d+)\.solverstate(?:\.h5)?$")


class Pairs(object):
    """Those of the job's solver, or all below `output_dir` where the command names no solver.

    `foreign` ({path below output_dir: modification time in milliseconds}) are not the run's own.
    """

    def __init__(self, command, output_dir, foreign):
        self.output_dir = output_dir
        self.foreign = foreign
        self.prefix, self.max_iter = _solver(command, output_dir)

    def states(self):
        """(iteration, path) of the run's own solver states, whole or not, the newest last."""
        found = []
        for path, iteration in self._all():
            if self.max_iter and iteration > self.max_iter:
                continue
            when = _time_of(path)
            if when and self.foreign.get(self._short(path)) != when:
                found.append((iteration, when, path))
        return [(iteration, path) for iteration, _, path in sorted(found)]

    def newest(self):
        """The newest whole solver state of the run's own, "" without."""
        for _, path in reversed(self.states()):
            if train.is_pair(path):
                return path
        return ""

    def listed(self):
        """All that is there now, as `foreign` takes it."""
        return {self._short(path): _time_of(path) for path, _ in self._all()}

    def _short(self, path):
        return os.path.relpath(path, self.output_dir)

    def _all(self):
        top = os.path.dirname(self.prefix) if self.prefix else self.output_dir
        for parent, folders, names in os.walk(top):
            # Hidden folders hold snapshots that are being written.
            folders[:] = [] if self.prefix else [name for name in folders if name[:1] != "."]
            for name in names:
                path = os.path.join(parent, name)
                found = _STATE.match(path)
                if found and self.prefix in ("", found.group("prefix")):
                    yield path, int(found.group("iteration"))


def _time_of(path):
    """In milliseconds since 1970; 0 of a file that is gone."""
    try:
        return int(os.path.getmtime(path) * 1000)
    except OSError:
        return 0


def _solver(command, output_dir):
    """(absolute snapshot prefix, max_iter) of the command's solver; ("", 0) without."""
    work_dir = command.options.get("work_dir") or "/data"
    name = command.options.get("solver")
    if not name:
        return "", 0
    try:
        solver = train.Solver(os.path.join(work_dir, name))
    except train.Failure:
        return "", 0
    stem = os.path.splitext(os.path.basename(name))[0]
    prefix = solver.text_of("snapshot_prefix") or os.path.join(output_dir, stem)
    prefix = os.path.normpath(os.path.join(work_dir, prefix))
    return os.path.join(prefix, stem) if os.path.isdir(prefix) else prefix, solver.number_of(
        "max_iter"
    )
