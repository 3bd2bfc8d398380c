"""Results out: rounds that send what is new, while the command runs and when it ended.

The ledger, `.uaitrain/<run id>.<rank>.sent.json`, names the run's own snapshots with their sizes.
It is sent before a snapshot, so that a pair in the bucket counts when both files are there and as
large as the ledger says, whenever anything was killed.
"""

from __future__ import print_function

import os
import select
import threading
import time

import mover as movers
import outgoing
from fetching import PAUSE_SECONDS, patient, read_json, write_json
from outgoing import FILE, LOG, MODEL, RUN, RUN_FOLDER, STATE
from places import EXIT_RESULTS, EXIT_STOPPED, StagingError, local

GIVE_UP_SECONDS = 900  # at the end, after the last round that sent something
HOPELESS = (movers.UNREACHABLE, movers.REFUSED, movers.MISSING, movers.STOPPED)
"""Kinds of trouble that the rest of a round would meet as well."""

BESIDE = ["--transfers=2", "--checkers=2"]
ALONE = ["--transfers=8", "--checkers=16"]
AS_IT_IS = ["--local-no-check-updated"]


class Sender(object):
    """Sends the files of `folder` that are `mine` to `place`."""

    def __init__(self, mover, place, folder, mine, say):
        self.mover = mover
        self.place = place
        self.folder = folder
        self.mine = mine
        self.say = lambda text: say("results: " + text)
        self.ledger = "%s/%s%s" % (RUN_FOLDER, mine.own, "sent.json")
        self.sent = {}  # stamps by path; None where only a try is known of
        self.flags = BESIDE
        self.thread = None
        self.wake = None

    def prove(self):
        """Send the ledger: that a place can be written shows before the command starts."""
        path = os.path.join(self.folder, self.ledger)
        write_json(path, dict({"snapshots": {}}, **read_json(path)))
        patient(lambda: self._copy([self.ledger]))

    def start(self, seconds):
        self.mover.nice = True
        self.wake = os.pipe()
        self.thread = threading.Thread(target=self._rounds, args=(seconds,))
        self.thread.daemon = True
        self.thread.start()

    def finish(self, last):
        """Send all there is, then `last`, a path below the folder or empty."""
        if self.thread:
            os.write(self.wake[1], b".")
            self.thread.join()
        self.mover.nice = False
        self.flags = ALONE
        hold = [last] if last else []
        self._insist(lambda: self.round(final=True, hold=hold))
        if last:
            self._insist(lambda: self._copy([last]))

    def round(self, final=False, hold=()):
        """Send what is new. Raises Trouble when something was left."""
        files = {
            path: stamp
            for path, stamp in outgoing.scan(self.folder).items()
            if self.mine.has(path) and path not in hold and path != self.ledger
        }
        writing = () if final else outgoing.written_now()
        ready = outgoing.settled(files, time.time(), writing, final)
        plan = outgoing.changed(ready, self.sent, final)
        troubles = []
        self._note(plan[MODEL] + plan[STATE], files)
        self._send(plan[LOG], files, troubles, AS_IT_IS)
        self._send(plan[FILE] + plan[MODEL], files, troubles)
        states = [
            path
            for path in plan[STATE]
            if self._is_there(outgoing.partner_of(path), files) and self._is_whole(path)
        ]
        self._send(states, files, troubles)
        for path in states:
            if self._is_there(path, files):
                self.say("sent the snapshot %s and its weights" % path)
        self._send(plan[RUN], files, troubles)
        for kinds in ((STATE,), (MODEL, FILE)):
            old = [p for p in outgoing.gone(files, self.sent) if outgoing.kind_of(p) in kinds]
            if old:
                self.mover.delete(self.place, old)
                for path in old:
                    del self.sent[path]
        if troubles:
            raise troubles[0]

    def have(self, paths):
        """These came from the place itself: they are there."""
        files = outgoing.scan(self.folder)
        self.sent.update((path, files[path]) for path in paths if path in files)

    def _is_there(self, path, files):
        return path in files and self.sent.get(path) == files[path]

    def _is_whole(self, state):
        """What train.py says of a pair; it lies beside these modules in the launcher."""
        try:
            from train import is_pair
        except ImportError:
            return True
        return is_pair(os.path.join(self.folder, state))

    def _note(self, snapshots, files):
        """Tell of these in the ledger, before they are sent."""
        if not snapshots:
            return
        ledger = os.path.join(self.folder, self.ledger)
        known = read_json(ledger).get("snapshots", {})
        added = {path: files[path].size for path in snapshots}
        if any(known.get(path) != added[path] for path in added):
            write_json(ledger, {"snapshots": dict(known, **added)})
        self._copy([self.ledger])

    def _send(self, paths, files, troubles, flags=()):
        """Copy `paths` and keep in mind what arrived; trouble that is theirs alone is noted."""
        if not paths:
            return
        arrived = paths
        try:
            self._copy(paths, flags)
        except movers.Trouble as trouble:
            arrived = trouble.done.intersection(paths)
            troubles.append(trouble)
            for path in paths:
                self.sent.setdefault(path, None)  # it may be there, though nobody said so
        self.sent.update((path, files[path]) for path in arrived)
        if troubles and troubles[-1].kind in HOPELESS:
            raise troubles[-1]

    def _copy(self, paths, flags=()):
        self.mover.copy(local(self.folder), self.place, paths, self.flags + list(flags))

    def _rounds(self, seconds):
        """The thread: nothing of it may end the run."""
        told = False
        while not readable(self.wake[0], seconds):
            try:
                self.round()
                if told:
                    self.say("%s takes them again; all is sent" % self.place.shown)
                told = False
            except movers.Trouble as trouble:
                if trouble.kind == movers.STOPPED:
                    return
                if trouble.kind != movers.CHANGED and not told:
                    self.say(
                        "not sent to %s: %s; the run goes on, and they are sent when it is mended"
                        % (self.place.shown, trouble)
                    )
                    told = True
            except (IOError, OSError) as error:
                if not told:
                    self.say("not sent: %s; the run goes on" % (error.strerror or error))
                    told = True

    def _insist(self, send):
        """Raises StagingError after a while of trouble, at once when waiting cannot mend it."""
        deadline = time.time() + GIVE_UP_SECONDS
        told = ""
        while True:
            before = dict(self.sent)
            try:
                return send()
            except movers.Trouble as trouble:
                if trouble.kind == movers.STOPPED:
                    raise StagingError(EXIT_STOPPED, "stopped while results were sent")
                if self.sent != before:
                    deadline = time.time() + GIVE_UP_SECONDS
                waits = trouble.kind in (movers.UNREACHABLE, movers.CHANGED)
                if not waits or time.time() > deadline:
                    raise failure(self.place, trouble)
                if str(trouble) != told:
                    told = str(trouble)
                    self.say("%s: %s; trying again" % (self.place.shown, told))
            except (IOError, OSError) as error:
                reason = "results cannot be sent: %s" % (error.strerror or error)
                raise StagingError(EXIT_RESULTS, reason)
            time.sleep(PAUSE_SECONDS)


def readable(handle, seconds):
    """Whether there is something to read within `seconds`; a signal makes it shorter."""
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    except (select.error, OSError):
        return False


def failure(place, trouble):
    return StagingError(EXIT_RESULTS, "results cannot be sent to %s: %s" % (place.shown, trouble))
