"""One start of a run after the other, each ended in its own way, under one run id."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from uaitrain.backends import Job
from uaitrain.engines import Engine
from uaitrain.engines.facts import LocalFacts
from uaitrain.runs import local_test, pairs
from uaitrain.runs.caffe_log import Evaluating, Event, Rate, Trained
from uaitrain.runs.container import Container, new_name
from uaitrain.runs.live import View
from uaitrain.runs.pair_watch import PairWatch, Written
from uaitrain.runs.pairs import Pair
from uaitrain.runs.record import Record, watch

KILLED = 137
_TAIL_LINES = 20


@dataclass(frozen=True)
class Attempt:
    """One start of the run, from container to container's end.

    ``before`` and ``after`` are the newest whole pairs that lay in the output folder. ``first``
    is the first iteration that the training told of, None where it told of none, ``last`` the
    last one. ``interrupted_at`` is the iteration that was told of last when the interrupt came;
    ``caught`` the snapshot file that was being written then. ``appeared`` has the iterations of
    the pairs that became whole meanwhile. ``display`` is the largest step between two told
    iterations.
    """

    number: int
    exit_code: int
    seconds: float
    before: Pair | None
    after: Pair | None
    max_iter: int
    first: int | None
    last: int
    display: int
    interrupted_at: int | None
    caught: Written | None
    appeared: tuple[int, ...]
    tail: tuple[str, ...]

    @property
    def begins_at(self) -> int:
        """The iteration of the newest whole pair at its start."""
        return self.before.iteration if self.before else 0

    @property
    def saved(self) -> int:
        """The same at its end."""
        return self.after.iteration if self.after else 0


class Running:
    """A container that runs, as interrupts see it."""

    def __init__(self, container: Container, engine: Engine, pair_watch: PairWatch) -> None:
        self._container, self._engine = container, engine
        self.pair_watch = pair_watch
        self._handle: int | None = None
        self._over = threading.Event()
        self.record = Record()
        self.interrupted_at: int | None = None

    def find_process(self) -> None:
        """Get a handle on the container's first process, where the kernel lets us."""
        asked = self._engine.ask("inspect", "--format", "{{.State.Pid}}", self._container.name)
        pid = asked.stdout.strip()
        if asked.returncode == 0 and pid.isdecimal() and int(pid) > 0:
            with contextlib.suppress(OSError):
                self._handle = os.pidfd_open(int(pid))

    def terminate(self) -> None:
        """As a scheduler ends a run: SIGTERM, and time for a snapshot."""
        self._note()
        self._container.stop()

    def kill(self) -> None:
        """SIGKILL to everything in the container: at once where we may, else by the engine.

        A container that is only just coming up is waited for.
        """
        while not self._over.is_set() and not self._killed():
            self._over.wait(0.05)
        self._note()

    def over(self) -> None:
        """Nothing is left to be interrupted."""
        self._over.set()

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _killed(self) -> bool:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
                return True
        return self._engine.ask("kill", self._container.name).returncode == 0

    def _note(self) -> None:
        if self.interrupted_at is None:
            self.interrupted_at = self.record.iteration


class Interrupt(Protocol):
    """What happens to one attempt. ``told`` is called for each event after it was recorded."""

    def begins(self, running: Running) -> None: ...

    def told(self, running: Running, event: Event) -> None: ...

    def ends(self) -> None: ...


class Nothing:
    """The run is left alone."""

    def begins(self, running: Running) -> None:
        pass

    def told(self, running: Running, event: Event) -> None:
        pass

    def ends(self) -> None:
        pass


class TermAt(Nothing):
    """SIGTERM as soon as ``share`` of the iterations is done."""

    def __init__(self, share: float) -> None:
        self._share = share

    def told(self, running: Running, event: Event) -> None:
        record = running.record
        wanted = max(1, int(record.max_iter * self._share))
        if running.interrupted_at is None and record.max_iter and record.iteration >= wanted:
            running.terminate()


class KillAtWrite(Nothing):
    """SIGKILL as soon as a snapshot's file appears, once the training has told of an iteration."""

    def __init__(self) -> None:
        self._armed = False

    def told(self, running: Running, event: Event) -> None:
        if not self._armed and isinstance(event, Trained | Evaluating):
            self._armed = True
            running.pair_watch.when_written(running.kill)


class KillAfter(Nothing):
    """SIGKILL ``seconds`` after the start of the container, or SIGTERM."""

    def __init__(self, seconds: float, *, gently: bool = False) -> None:
        self._seconds, self._gently = seconds, gently
        self._timer: threading.Timer | None = None

    def begins(self, running: Running) -> None:
        action = running.terminate if self._gently else running.kill
        self._timer = threading.Timer(self._seconds, action)
        self._timer.daemon = True
        self._timer.start()

    def ends(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer.join()


class Attempts:
    """Starts ``job``, whose results lie in ``output`` on this machine, again and again."""

    def __init__(
        self, job: Job, output: Path, engine: Engine, facts: LocalFacts, view: View
    ) -> None:
        self._job, self._output, self._view = job, output, view
        self._engine, self._facts = engine, facts
        self.done: list[Attempt] = []
        self.halves: set[str] = set()
        """Names of the solver states that were not whole when an attempt had ended."""

    @property
    def display(self) -> int:
        """The largest step between two iterations that a start told."""
        return max((attempt.display for attempt in self.done), default=0)

    @property
    def max_iter(self) -> int:
        """What a start told, or 0."""
        return max((attempt.max_iter for attempt in self.done), default=0)

    def start(self, interrupt: Interrupt) -> Attempt:
        """Start the run once and see it to its end. Raises EngineError."""
        name = new_name()
        before = pairs.newest(self._output)
        began = time.monotonic()
        request = local_test.request(self._job, self._engine, self._facts, name)
        told: list[int] = []
        tail = deque[str](maxlen=_TAIL_LINES)
        container = Container(self._engine, request, name)
        with PairWatch(self._output) as pair_watch, container:
            running = Running(container, self._engine, pair_watch)
            try:
                code = self._watch(running, container, interrupt, told, tail)
            finally:
                running.over()
                interrupt.ends()
                running.close()
                self._view.close()
        record = running.record
        self.halves |= {state.name for state in pairs.broken(self._output)}
        self.done.append(
            Attempt(
                number=len(self.done) + 1,
                exit_code=code,
                seconds=time.monotonic() - began,
                before=before,
                after=pairs.newest(self._output),
                max_iter=record.max_iter,
                first=told[0] if told else None,
                last=record.iteration,
                display=_step(told),
                interrupted_at=running.interrupted_at,
                caught=pair_watch.caught,
                appeared=tuple(pair_watch.appeared),
                tail=tuple(tail),
            )
        )
        return self.done[-1]

    def _watch(
        self,
        running: Running,
        container: Container,
        interrupt: Interrupt,
        told: list[int],
        tail: deque[str],
    ) -> int:
        interrupt.begins(running)
        lines: Iterator[tuple[str, Event | None]] = watch(container.lines(), running.record)
        for number, (line, event) in enumerate(lines):
            if not number:
                running.find_process()
            tail.append(line)
            self._view.update(line, event, running.record)
            if isinstance(event, Trained | Evaluating | Rate):
                told.append(event.iteration)
            if event is not None:
                interrupt.told(running, event)
        return container.wait()


def with_run_id(job: Job, run_id: str) -> Job:
    """``job`` as one run whose starts belong together."""
    return replace(job, run_id=run_id, environment={**job.environment, "UAITRAIN_RUN_ID": run_id})


def _step(told: list[int]) -> int:
    """The largest step between two told iterations, 0 where there were fewer than two."""
    return max((later - earlier for earlier, later in pairwise(told)), default=0)
