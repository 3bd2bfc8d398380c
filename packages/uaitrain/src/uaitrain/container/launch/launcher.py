"""One run from start to end, in the order in which things happen."""

from __future__ import print_function

import os
import sys

from child import Child, end_orphans
from command import Command
from errors import EXIT_STOPPED, EXIT_USAGE, Failure, Stopped
from exits import judge, reason
from failure import FailureFile
from output import Output, log_path
from settings import Settings, folder_of
from sidecar import Sidecar
from signals import Signals

OUTPUT_DIR = "/data/output"
LAUNCHED = "UAITRAIN_LAUNCHED"
USAGE = "usage: launch.pyz COMMAND [WORD ...]"


def main(argv):
    if not argv:
        print(USAGE, file=sys.stderr)
        return EXIT_USAGE
    signals = Signals()
    output = Output()
    command = Command(argv)
    failure = FailureFile(folder_of(command.options, "output_dir", OUTPUT_DIR))
    try:
        return Launcher(command, signals, output, failure, Settings(os.environ)).run()
    except Stopped:
        output.say("stopped before the command began")
        return EXIT_STOPPED
    except Failure as problem:
        signals.raises = False
        return fail(problem, output, failure)
    finally:
        output.close()


def fail(problem, output, failure):
    """The exit code of `problem`, which is told and left behind."""
    output.say("failed: %s" % problem.reason.split("\n")[0].rstrip(":"))
    try:
        failure.leave(problem.reason)
    except (IOError, OSError) as error:
        output.say("cannot write %s: %s" % (failure.path, error.strerror))
    return problem.code


class Launcher(object):
    def __init__(self, command, signals, output, failure, settings):
        self.command = command
        self.signals = signals
        self.output = output
        self.failure = failure
        self.settings = settings

    def run(self):
        """The run's exit code. Raises Failure, and Stopped before the command has begun."""
        if self.settings.rank == 0:
            self.failure.clear()
        environment = self._environment()
        sidecar = None
        if self.output.path and self.settings.rank == 0:
            sidecar = Sidecar.start(self.output.path, self.signals)
        try:
            code, said = self._train(self.command.argv, environment)
        finally:
            if sidecar:
                sidecar.end()
            end_orphans()
        if code not in (0, EXIT_STOPPED):
            raise Failure(code, reason(said, self.output.tail))
        return code

    def _environment(self):
        """The command's. Opens the log, which the stock train.py then leaves to us."""
        environment = dict(os.environ)
        for name, value in self.settings.for_command().items():
            environment.setdefault(name, value)
        # Of a program that crashes, nothing that it printed is lost.
        environment.setdefault("PYTHONUNBUFFERED", "1")
        folder = folder_of(
            self.command.options, "log_dir", os.path.join(os.path.dirname(self.failure.path), "log")
        )
        try:
            self.output.open(log_path(folder, self.settings.run_id, self.settings.rank))
            environment[LAUNCHED] = "1"
        except Failure as problem:
            # The training may be for looking around only; train.py judges this for itself.
            self.output.say(problem.reason)
            environment.pop(LAUNCHED, None)
        return environment

    def _train(self, argv, environment):
        """(exit code, what happened)."""
        self.signals.raises = False
        child = Child(argv, environment, self.signals, self.output)
        child.run(lambda: None, None)
        return judge(child.verdict, child.passed, self._is_stock())

    def _is_stock(self):
        """Whether the main file is our train.py."""
        path = os.path.join("/data", self.command.main)
        try:
            with open(path, "rb") as file:
                return b"The stock entry of Caffe images" in file.read(200)
        except (IOError, OSError):
            return False
