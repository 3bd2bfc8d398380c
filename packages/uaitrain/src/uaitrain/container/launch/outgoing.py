"""What of an output folder is to be sent: decided from names and stamps, without the mover.

A log is sent as it is, also while it grows. A snapshot counts when both of its files are there,
at rest and closed; its solver state goes after its weights. Any other file is sent once nobody
writes it. Hidden files, Caffe's snapshots in the making among them, stay here.
"""

from __future__ import print_function

import collections
import os
import re

import mover as movers

RUN_FOLDER = ".uaitrain"
LOG_FOLDER = "log"
FAILURE = "failure"
LEDGER = ".sent.json"
REST_SECONDS = 2

LOG, RUN, FILE, MODEL, STATE = "log", "run", "file", "model", "state"
SNAPSHOT = re.compile(r"(.*_iter_(\d+))\.(caffemodel|solverstate)(\.h5)?$", re.S)

Stamp = collections.namedtuple("Stamp", "size time inode")
"""What changes with a file: bytes, modification time in milliseconds, (device, inode)."""


def kind_of(path):
    """What a file is by its path below the output folder."""
    first = path.split("/", 1)[0]
    if first == RUN_FOLDER:
        return RUN
    if first == LOG_FOLDER:
        return LOG
    found = SNAPSHOT.match(path)
    if found:
        return MODEL if found.group(3) == "caffemodel" else STATE
    return FILE


def iteration_of(path):
    return int(SNAPSHOT.match(path).group(2))


def partner_of(path):
    """The other file of a snapshot's pair."""
    found = SNAPSHOT.match(path)
    other = "solverstate" if found.group(3) == "caffemodel" else "caffemodel"
    return "%s.%s%s" % (found.group(1), other, found.group(4) or "")


def scan(folder):
    """The stamps of all files that may be sent, by their paths below `folder`."""
    found = {}
    for parent, folders, names in os.walk(folder):
        below = os.path.relpath(parent, folder)
        below = "" if below == "." else below + "/"
        folders[:] = [name for name in folders if name[:1] != "." or below + name == RUN_FOLDER]
        for name in names:
            if name[:1] == "." or name.endswith(movers.PART) or "\n" in name:
                continue
            try:
                status = os.stat(os.path.join(parent, name))
            except OSError:
                continue  # gone meanwhile, or a link to nowhere
            if os.path.isfile(os.path.join(parent, name)):
                found[below + name] = Stamp(
                    status.st_size, int(status.st_mtime * 1000), (status.st_dev, status.st_ino)
                )
    return found


def written_now():
    """(device, inode) of every file that some process here has open for writing."""
    found = set()
    for process in os.listdir("/proc"):
        if not process.isdigit():
            continue
        handles = "/proc/%s/fd" % process
        try:
            names = os.listdir(handles)
        except OSError:
            continue
        for name in names:
            try:
                # The link's own mode tells how it was opened.
                if os.lstat(os.path.join(handles, name)).st_mode & 0o200:
                    status = os.stat(os.path.join(handles, name))
                    found.add((status.st_dev, status.st_ino))
            except OSError:
                continue
    return found


class Mine(object):
    """Which files this launcher sends: rank 0 all but the other ranks' logs and states."""

    def __init__(self, run_id, rank):
        self.run_id = run_id
        self.own = "%s.%d." % (run_id, rank)
        self.rank = rank

    def has(self, path):
        kind, name = kind_of(path), path.split("/", 1)[-1]
        if kind == RUN:
            return bool(self.run_id) and name.startswith(self.own)
        others = (
            bool(self.run_id)
            and re.match(re.escape(self.run_id) + r"\.\d+\.", name)
            and not name.startswith(self.own)
        )
        if kind == LOG:
            return not others if self.rank == 0 else name.startswith(self.own)
        return self.rank == 0


def settled(files, now, being_written, final):
    """The files but those that somebody may still be writing; logs and run files always count."""
    if final:
        return dict(files)
    return {
        path: stamp
        for path, stamp in files.items()
        if kind_of(path) in (LOG, RUN)
        or (stamp.inode not in being_written and stamp.time <= (now - REST_SECONDS) * 1000)
    }


def changed(files, sent, final):
    """What is to be sent now, by kind: a dict of sorted paths.

    Weights of a snapshot wait for their solver state, until at the end all are sent.
    """
    plan = {LOG: [], RUN: [], FILE: [], MODEL: [], STATE: []}
    for path in sorted(files):
        if sent.get(path) == files[path]:
            continue
        kind = kind_of(path)
        if kind == MODEL and not final and partner_of(path) not in files:
            continue
        if kind == STATE and partner_of(path) not in files:
            continue
        plan[kind].append(path)
    return plan


def gone(files, sent):
    """Snapshots, and the failure file, that were sent and are no more here: states first."""
    paths = [
        path
        for path in sent
        if path not in files and (kind_of(path) in (MODEL, STATE) or path == FAILURE)
    ]
    return sorted(paths, key=lambda path: (kind_of(path) == MODEL, path))
