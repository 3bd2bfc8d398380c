"""Data in and results out, for the launcher.

    stager = Stager.from_environ(os.environ, say)    # None: nothing is to be moved
    stager.fetch_state()                             # what earlier attempts have sent
    stager.fetch_data()
    stager.start()                                   # results are sent while the command runs
    stager.finish(marker)                            # all of them, and the marker last of all

Every method raises StagingError, whose `code` is an exit code of the contract: 2 for a variable
that cannot be, 9 for data that cannot be fetched, 10 for results that cannot be sent (also when
that shows at the start), 143 after `stop()`.
"""

from __future__ import print_function

import glob
import os
import re

import mover as movers
import outgoing
from fetching import Fetch, patient, read_json, same_folder
from places import (
    EXIT_RESULTS,
    EXIT_STOPPED,
    EXIT_USAGE,
    Access,
    StagingError,
    local,
    parse,
)
from sending import Sender, failure

SYNC_SECONDS = 30

__all__ = ["Stager", "StagingError"]


class Stager(object):
    """The data and the output place of one launcher; either may be None."""

    @classmethod
    def from_environ(cls, environ, say, data="/data/data", output="/data/output"):
        """None when neither UAITRAIN_DATA nor UAITRAIN_OUTPUT names another place than the
        folder itself. Nothing is moved yet."""
        sources = [("UAITRAIN_DATA", data), ("UAITRAIN_OUTPUT", output)]
        places = []
        for variable, folder in sources:
            text = environ.get(variable, "")
            place = parse(text, variable) if text else None
            if place and place.folder and same_folder(place.folder, folder):
                place = None
            places.append(place)
        if not any(places):
            return None
        return cls(environ, say, places, data, output)

    def __init__(self, environ, say, places, data, output):
        self.say = say
        self.source, self.target = places
        self.data, self.output = data, output
        self.run_id = environ.get("UAITRAIN_RUN_ID", "")
        self.rank = whole_number(environ, "UAITRAIN_RANK", 0, 0)
        self.seconds = whole_number(environ, "UAITRAIN_SYNC_SECONDS", SYNC_SECONDS, 1)
        access = Access(environ, [place for place in places if place])
        if not os.path.exists(access.program):
            raise StagingError(
                EXIT_USAGE,
                "%s is not in this image, and %s is to be moved: pack it again with its places "
                "in run.data or run.output"
                % (access.program, " and ".join(place.shown for place in places if place)),
            )
        self.mover = movers.Mover(access)
        mine = outgoing.Mine(self.run_id, self.rank)
        self.sender = self.target and Sender(self.mover, self.target, output, mine, say)

    def fetch_data(self):
        """Copy the data into the data folder; a second time only what is missing."""
        if self.source:
            Fetch(self.mover, self.source, self.data, self.say).run()

    def fetch_state(self):
        """Bring what this run has sent before: its state, its logs of this rank, and the newest
        snapshot pair that is complete there, unless it is here."""
        if not self.target:
            return
        try:
            self._fetch_state()
        except movers.Trouble as trouble:
            if trouble.kind == movers.STOPPED:
                raise StagingError(EXIT_STOPPED, "stopped while the run's state was fetched")
            raise failure(self.target, trouble)
        except (IOError, OSError) as error:
            reason = "cannot write into %s: %s" % (self.output, error.strerror)
            raise StagingError(EXIT_RESULTS, reason)

    def start(self):
        """Prove that the place takes results, then send them from a thread."""
        if not self.sender:
            return
        try:
            self.sender.prove()
        except movers.Trouble as trouble:
            if trouble.kind == movers.STOPPED:
                raise StagingError(EXIT_STOPPED, "stopped before the command was started")
            raise failure(self.target, trouble)
        except (IOError, OSError) as error:
            reason = "cannot write into %s: %s" % (self.output, error.strerror)
            raise StagingError(EXIT_RESULTS, reason)
        self.sender.start(self.seconds)

    def finish(self, last=""):
        """Send everything, then the file `last`, when all else is confirmed."""
        if self.sender:
            last = os.path.relpath(last, self.output) if last else ""
            self.sender.finish(last)

    def stop(self):
        """End what is being moved, at once: for a signal while data or state are fetched, or for
        a second one at the end. The method that runs raises StagingError(143)."""
        self.mover.stop()

    def _fetch_state(self):
        if self.target.folder and not os.path.isdir(self.target.folder):
            if not os.path.isdir(os.path.dirname(self.target.folder)):
                raise movers.Trouble(movers.MISSING, self.target.folder)
            return  # the first results make it
        # Without a run id nothing fits, and a place that cannot be asked shows all the same.
        run = re.sub(r"([*?\[\]{}\\])", r"\\\1", self.run_id) or "none"
        log = "/%s/%s.%d." % (outgoing.LOG_FOLDER, run, self.rank)
        state = "/%s/%s.*" % (outgoing.RUN_FOLDER, run)
        includes = [state, log + "*", log + "*/**"]
        includes += ["*." + name for name in ("solverstate", "caffemodel")]
        includes += ["*.%s.h5" % name for name in ("solverstate", "caffemodel")]
        found = patient(lambda: self.mover.list(self.target, includes if self.run_id else [state]))
        own = [p for p in found if outgoing.kind_of(p) in (outgoing.RUN, outgoing.LOG)]
        if own:
            # What is newer here was not sent before this machine was left.
            self._fetch(own, ["--update"])
        pair = newest_pair(found, self._ledger())
        if pair:
            missing = [path for path in pair if self._size(path) != found[path].size]
            for path in missing:
                self._fetch([path])
            if missing:
                self.say("results: brought the snapshot %s from %s" % (pair[1], self.target.shown))
            self.sender.have(pair)

    def _fetch(self, paths, flags=()):
        into = local(self.output)
        patient(lambda: self.mover.copy(self.target, into, paths, flags))

    def _ledger(self):
        """The sizes of the snapshots that the run's launchers have told of."""
        known = {}
        folder = os.path.join(self.output, outgoing.RUN_FOLDER)
        for path in glob.glob(os.path.join(folder, "%s.*.sent.json" % self.run_id)):
            known.update(read_json(path).get("snapshots", {}))
        return {movers.native(path): known[path] for path in known}

    def _size(self, path):
        try:
            return os.path.getsize(os.path.join(self.output, path))
        except OSError:
            return -1


def newest_pair(found, ledger):
    """(weights, solver state) of the highest iteration that both lists have; empty without."""
    best = ()
    for path in sorted(found):
        if outgoing.kind_of(path) != outgoing.STATE:
            continue
        pair = (outgoing.partner_of(path), path)
        whole = all(each in found and ledger.get(each) == found[each].size for each in pair)
        if whole and (not best or outgoing.iteration_of(path) > outgoing.iteration_of(best[1])):
            best = pair
    return best


def whole_number(environ, name, default, least):
    text = environ.get(name, "") or str(default)
    if not re.match(r"\d{1,9}$", text) or int(text) < least:
        raise StagingError(
            EXIT_USAGE, "%s: %r is no whole number of %d or more" % (name, text, least)
        )
    return int(text)
