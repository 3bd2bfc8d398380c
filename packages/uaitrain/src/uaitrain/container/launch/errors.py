"""The launcher's own ends, and the exit codes it gives (the table is train.py's)."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_CRASHED = 4
EXIT_KILLED = 5
EXIT_OUTPUT = 7
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_STOPPED = 143


class Failure(Exception):  # noqa: N818 - it is called by what it leaves in the output folder
    """Why a run ends badly: `code` is its exit code, the text goes into the failure file."""

    def __init__(self, code, reason):
        Exception.__init__(self, reason)
        self.code = code
        self.reason = reason


class Stopped(Exception):  # noqa: N818 - no error
    """A stop was asked for before there was a command to pass it on to."""
