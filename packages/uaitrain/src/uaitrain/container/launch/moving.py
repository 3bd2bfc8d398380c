"""Data in and results out, where they lie elsewhere: staging.py as the launcher uses it."""

import os

from errors import EXIT_STOPPED, Failure, Stopped


class Moving(object):
    """Raises Failure, and Stopped where a stop ended what was moved."""

    def __init__(self, settings, signals, say, data_dir, output_dir):
        self.signals = signals
        self._stager = None
        if not (os.environ.get("UAITRAIN_DATA") or os.environ.get("UAITRAIN_OUTPUT")):
            return
        from staging import Stager, StagingError

        self._error = StagingError
        told = dict(os.environ, UAITRAIN_RANK=str(settings.rank))
        try:
            self._stager = Stager.from_environ(told, say, data_dir, output_dir)
        except StagingError as error:
            raise Failure(error.code, error.reason)

    def state_in(self):
        self._do("fetch_state")

    def data_in(self):
        self._do("fetch_data")
        self._do("start")

    def results_out(self, last):
        """All of them, and the file `last` ("": none) when the others are there."""
        self._do("finish", last)

    def _do(self, step, *arguments):
        if not self._stager:
            return
        earlier = self.signals.at_stop
        if earlier:
            self.signals.at_stop = self._stager.stop
            if self.signals.stopping:
                raise Stopped()
        try:
            getattr(self._stager, step)(*arguments)
        except self._error as error:
            if error.code == EXIT_STOPPED:
                raise Stopped()
            raise Failure(error.code, error.reason)
        finally:
            self.signals.at_stop = earlier
