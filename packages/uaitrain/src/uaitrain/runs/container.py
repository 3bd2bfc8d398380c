"""A container of ours from start to end: its output, its stop, its exit code.

Nothing keeps running: a stop is asked for inside the container, and should this process die
without a word (``kill -9``), a small guard beside it sees its pipe close and stops the container.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from uaitrain.backends import Request
from uaitrain.engines import Engine
from uaitrain.errors import EngineError

GRACE_SECONDS = 120
"""What a run gets to write its last snapshot once nobody watches it any more."""

_STOP = """\
read -r name </proc/1/comm
case $name in
  bash|sh) read -r child rest </proc/1/task/1/children; kill -TERM "$child" ;;
  *) kill -TERM 1 ;;
esac"""
"""Tell the training to stop. The launcher passes it on; a shell that waits as process 1, in images
without a launcher, would ignore it."""

_GUARD = """\
read -r _ && exit
name=$1 stop=$2 grace=$3
shift 3
"$@" exec "$name" /bin/bash -c "$stop"
"$@" stop --time "$grace" "$name"
"""


def new_name() -> str:
    """A container name that no other run has."""
    return f"uaitrain-{os.getpid()}-{secrets.token_hex(3)}"


class Container:
    """Runs ``request`` (which names the container ``name``) inside a ``with`` block."""

    def __init__(self, engine: Engine, request: Request, name: str) -> None:
        self._engine, self._request, self.name = engine, request, name
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._stopping: threading.Thread | None = None

    def __enter__(self) -> Container:
        """Raises EngineError when the program cannot be started."""
        # In a session of their own, so that Ctrl-C on the terminal reaches us alone.
        try:
            self._guard = subprocess.Popen(
                [
                    *("/bin/sh", "-c", _GUARD, "guard", self.name, _STOP, str(GRACE_SECONDS)),
                    *self._engine.words,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._engine.child_environment(),
                start_new_session=True,
            )
            self._process = subprocess.Popen(
                self._request.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._engine.child_environment(),
                start_new_session=True,
            )
        except OSError as error:
            self._dismiss_guard()
            raise EngineError(
                f"cannot start {self._request.argv[0]}: {error.strerror}",
                next_step="uaitrain doctor",
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._running
        # A container that is only just coming up cannot be killed yet.
        while process.poll() is None:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        if self._stopping:
            self._stopping.join()
        if process.stdout:
            process.stdout.close()
        self._dismiss_guard()

    def lines(self) -> Iterator[str]:
        """What the run writes, line by line, until it ends; unreadable bytes are replaced."""
        output = self._running.stdout
        assert output is not None
        for raw in output:
            yield from raw.decode(errors="replace").rstrip("\r\n").split("\r")

    def wait(self) -> int:
        """The run's exit code (the engine's own: 125 to 127). Call it after the last line."""
        return self._running.wait()

    def stop(self) -> None:
        """Ask the run to write a snapshot and end; returns at once."""
        if self._stopping is None:
            self._stopping = threading.Thread(target=self._ask_to_stop, daemon=True)
            self._stopping.start()

    def kill(self) -> None:
        """End the run now, with whatever it has written."""
        self._engine.ask("kill", self.name)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _ask_to_stop(self) -> None:
        # The container may not be up yet: its start cannot be hurried, only waited for.
        while self._running.poll() is None:
            if self._engine.ask("exec", self.name, "/bin/bash", "-c", _STOP).returncode == 0:
                return
            if self._engine.ask("kill", "--signal", "TERM", self.name).returncode == 0:
                return
            time.sleep(0.1)

    def _dismiss_guard(self) -> None:
        if self._guard and self._guard.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(b"done\n")
                self._guard.stdin.close()
            self._guard.wait()
