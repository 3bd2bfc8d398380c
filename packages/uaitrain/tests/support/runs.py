"""Runs for tests that need no engine, and a backend that is told what to answer.

No real place is slow or dead when a test wants it to be: that is what :class:`Scripted` is for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from uaitrain.backends import Job, Rendered, State, Status
from uaitrain.errors import UaitrainError
from uaitrain.runs.run import Run

LOG = """\
max_iter: 400
I1123 05:55:00.016389     7 solver.cpp:239] Iteration 100 (5 iter/s, 2s/10 iters), loss = 1.5
I1123 05:55:01.016389     7 solver.cpp:347] Iteration 200, Testing net (#0)
I1123 05:55:01.016389     7 solver.cpp:414]     Test net output #0: accuracy = 0.75
I1123 05:55:02.016389     7 solver.cpp:239] Iteration 200 (5 iter/s, 2s/10 iters), loss = 0.5
"""


def a_run(run_id: str = "mnist-20261124-191500-3f2a1c", **fields: Any) -> Run:
    values: dict[str, Any] = {
        "run_id": run_id,
        "name": "mnist",
        "backend": "local",
        "options": {"local.engine": "docker", "local.network": ""},
        "job": Job("mnist-cpu", ("/usr/bin/python", "/data/train.py"), run_id=run_id),
        "image": "mnist-cpu:uaitrain",
        "digest": f"sha256:{'a' * 64}",
        "data": "/there/data",
        "output": "/there/output",
        "created": 1000.0,
    }
    return Run(**values | fields)


def running(run_id: str = "mnist-20261124-191500-3f2a1c", **fields: Any) -> Run:
    return a_run(run_id, **{"handle": f"docker/{run_id}", "state": str(State.RUNNING)} | fields)


def dead_process() -> str:
    """What a process of this machine that has ended would have signed with."""
    from uaitrain.runs.submitter import this_process

    host = this_process().partition("/")[0]
    return f"{host}/{2**22}/1"


@dataclass
class Scripted:
    """Answers with ``statuses``, or raises ``error``, or never answers while ``silent``."""

    statuses: Mapping[str, Status] = field(default_factory=dict)
    listed: tuple[Status, ...] = ()
    log: str = ""
    error: UaitrainError | None = None
    silent: threading.Event | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def render(self, job: Job) -> Rendered:
        raise NotImplementedError

    def submit(self, request: Any) -> str:
        self._answer()
        return "there/1"

    def status(self, handles: Sequence[str]) -> Mapping[str, Status]:
        self.asked.append(tuple(handles))
        self._answer()
        return {h: self.statuses.get(h, Status(h, "", State.UNKNOWN)) for h in handles}

    def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
        yield from self.log.splitlines()

    def cancel(self, handle: str) -> None:
        self._answer()

    def list(self) -> tuple[Status, ...]:
        self._answer()
        return self.listed

    def _answer(self) -> None:
        if self.silent:
            self.silent.wait()
        if self.error:
            raise self.error
