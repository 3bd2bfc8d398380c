"""One run from start to end, in the order in which things happen."""

from __future__ import print_function

import os
import re
import sys

from child import Child, end_orphans
from command import Command
from errors import EXIT_DONE, EXIT_STOPPED, EXIT_USAGE, Failure, Stopped
from exits import judge, reason
from failure import FailureFile
from moving import Moving
from output import Output, log_path
from settings import Settings, folder_of
from sidecar import Sidecar
from signals import Signals
from state import RunState

OUTPUT_DIR = "/data/output"
LAUNCHED = "UAITRAIN_LAUNCHED"
USAGE = "usage: launch.pyz COMMAND [WORD ...]"
ITERATION = re.compile(r"\] Iteration (\d+)[ ,]".encode("ascii"))


def main(argv):
    if not argv:
        print(USAGE, file=sys.stderr)
        return EXIT_USAGE
    signals = Signals()
    output = Output()
    command = Command(argv)
    output_dir = folder_of(command.options, "output_dir", OUTPUT_DIR)
    failure = FailureFile(output_dir)
    try:
        settings = Settings(os.environ)
        return Launcher(settings, command, output_dir, signals, output, failure).run()
    except Stopped:
        output.say("stopped before the command began")
        return EXIT_STOPPED
    except Failure as problem:
        signals.at_stop = None
        failure.leave(problem.reason, output.say)
        return problem.code
    finally:
        end_orphans()
        output.close()


class Launcher(object):
    """Raises Failure for what ends a run badly, and Stopped before its command has begun."""

    def __init__(self, settings, command, output_dir, signals, output, failure):
        self.settings = settings
        self.command = command
        self.output_dir = output_dir
        self.signals = signals
        self.output = output
        self.failure = failure
        self.state = None
        if settings.run_id:
            self.state = RunState(output_dir, settings.run_id, settings.rank)

    def run(self):
        """The run's exit code."""
        data_dir = folder_of(self.command.options, "data_dir", "/data/data")
        moving = Moving(self.settings, self.signals, self.output.say, data_dir, self.output_dir)
        if self.state:
            self.state.lock(self.output.say)
        moving.state_in()
        if self.state:
            self.state.load()
            if self.state.is_complete:
                self.output.say("the run %s is finished already" % self.settings.run_id)
                moving.results_out(self.state.marker)  # in case the end came before they were sent
                return EXIT_DONE
        environment = self._environment()
        if self.settings.rank == 0:
            self.failure.clear()
        argv, resumed = self._begin()
        moving.data_in()
        self.signals.at_stop = None
        code, said = self._train(argv, environment, resumed)
        return self._end(code, said, moving)

    def _environment(self):
        """The command's. Opens the log, which the stock train.py then leaves to us."""
        environment = dict(os.environ)
        for name, value in self.settings.for_command().items():
            environment.setdefault(name, value)
        # Of a program that crashes, nothing that it printed is lost.
        environment.setdefault("PYTHONUNBUFFERED", "1")
        folder = folder_of(self.command.options, "log_dir", os.path.join(self.output_dir, "log"))
        try:
            self.output.open(log_path(folder, self.settings.run_id, self.settings.rank))
            environment[LAUNCHED] = "1"
        except Failure as problem:
            # The command may be for looking around only; train.py judges this for itself.
            self.output.say(problem.reason)
            environment.pop(LAUNCHED, None)
        return environment

    def _begin(self):
        """(the words of this start, the solver state it goes on from); the start is noted."""
        if not self.state:
            return self.command.argv, ""
        from resume import begin

        start = begin(self.command, self.output_dir, self.state, self.output.say)
        self.state.save()
        return start

    def _train(self, argv, environment, resumed):
        """(exit code, what happened)."""
        sidecar = None
        if self.settings.rank == 0 and self.output.path:
            sidecar = Sidecar.start(self.output.path, self.signals)
        try:
            child = Child(argv, environment, self.signals, self.output)
            retention = self._retention(resumed)
            if retention:
                child.run(retention.apply, retention.seconds)
                retention.apply()
            else:
                child.run(None, None)
            end_orphans(spared=True)
        finally:
            if sidecar:
                sidecar.end()
        return judge(child.verdict, child.passed, self.command.is_stock)

    def _retention(self, resumed):
        if not self.settings.keep_last or self.settings.rank:
            return None
        from retention import retention_of

        foreign = self.state.before if self.state else None
        return retention_of(
            self.settings.keep_last, self.command, self.output, self.output_dir, foreign, resumed
        )

    def _end(self, code, said, moving):
        """The exit code, when all that is left of the run is where it belongs."""
        if code not in (EXIT_DONE, EXIT_STOPPED):
            self.failure.leave(reason(said, self.output.tail), self.output.say)
        marker = self._note_end(code)
        try:
            moving.results_out(marker)
        except (Failure, Stopped) as problem:
            if marker:
                self.state.reopen()
            if code == EXIT_DONE:
                raise
            self.output.say("%s" % problem)
        return code

    def _note_end(self, code):
        """Write the state and, of a finished run, the completion marker: its path, else ""."""
        if not self.state:
            return ""
        told = ITERATION.findall(self.output.tail)
        self.state.ends(code, int(told[-1]) if told else None)
        try:
            self.state.save()
            if code != EXIT_DONE:
                return ""
            self.state.complete()
        except Failure as problem:
            self.output.say(problem.reason)  # the run itself came to its end
            return ""
        return self.state.marker
