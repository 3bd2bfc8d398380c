"""The local test from end to end: the job in a container here, watched until it ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

from uaitrain import atomic
from uaitrain.backends import Job, Request
from uaitrain.backends.local import render
from uaitrain.commands import local_job
from uaitrain.engines import Engine, store
from uaitrain.engines.facts import LocalFacts
from uaitrain.engines.folders import give, make_folder
from uaitrain.errors import EngineError, StorageError
from uaitrain.runs import chart
from uaitrain.runs.container import Container, new_name
from uaitrain.runs.live import View
from uaitrain.runs.outcome import Outcome, failure_text, newest_log, newest_weights
from uaitrain.runs.record import Record, watch
from uaitrain.spec import CPU, GPU, TrainSpec

CURVE_FILE = "training_curve.png"

_TAIL_LINES = 40
_CLOCK_SECONDS = 2.0
"""How much file systems' clocks may lag behind ours."""


def prepare(spec: TrainSpec, accelerator: str, engine: Engine, facts: LocalFacts) -> Job:
    """The job, once the image is there, the data can be read and the output folder exists.

    Raises EngineError, StorageError.
    """
    reference = spec.target.cpu if accelerator == CPU else spec.target.gpu
    if not store.has(engine, reference):
        raise EngineError(
            f"{engine.program} has no image {reference}",
            next_step="uaitrain pack, which builds it and loads it",
        )
    if not spec.data.is_dir():
        raise StorageError(
            f"no such data folder: {spec.data}", next_step="give --data, or put the data there"
        )
    make_folder(spec.output, facts)
    return plan(spec, accelerator, facts)


def plan(spec: TrainSpec, accelerator: str, facts: LocalFacts) -> Job:
    """The job alone; nothing is looked at."""
    reference = spec.target.cpu if accelerator == CPU else spec.target.gpu
    job = local_job(spec, accelerator, str(reference), facts.user)
    # Without a terminal Python would keep what it prints until its buffer is full.
    return replace(job, environment={"PYTHONUNBUFFERED": "1"})


def request(
    job: Job, engine: Engine | None, facts: LocalFacts, name: str, *, interactive: bool = False
) -> Request:
    """Exactly what will be executed; without an engine, what would be."""
    words = facts.words(gpu=job.gpus > 0)
    if engine is not None:
        words = (*engine.words[:-1], words[-1])
    return render(job, words, interactive=interactive, name=name)


def run_interactive(job: Job, engine: Engine, facts: LocalFacts) -> int:
    """Run ``job`` on this terminal, which belongs to it until it ends; the exit code is its own."""
    asked = request(job, engine, facts, new_name(), interactive=True)
    return subprocess.run(asked.argv, env=engine.child_environment(), check=False).returncode


def run(
    spec: TrainSpec,
    job: Job,
    engine: Engine,
    facts: LocalFacts,
    view: View,
    say: Callable[[str], None],
) -> Outcome:
    """Run ``job`` until it ends; what it writes goes to ``view``, remarks for the user to ``say``.

    The first SIGINT or SIGTERM asks the run for a snapshot and its end, a second one kills it.
    Raises EngineError when it cannot be started.
    """
    name = new_name()
    record, tail = Record(), deque[str](maxlen=_TAIL_LINES)
    since, began = time.time() - _CLOCK_SECONDS, time.monotonic()
    container = Container(engine, request(job, engine, facts, name), name)
    with container as running, _signals(running, say) as asked:
        try:
            for line, event in watch(running.lines(), record):
                tail.append(line)
                view.update(line, event, record)
        finally:
            view.close()
        code = running.wait()
    outcome = Outcome(
        code,
        time.monotonic() - began,
        record,
        asked.is_set(),
        tuple(tail),
        failure_text(spec.output, since) if code else "",
        newest_weights(spec.output, since),
        newest_log(spec.output, since),
    )
    return replace(outcome, curve=_draw_curve(spec, job, record, facts))


@contextlib.contextmanager
def _signals(running: Container, say: Callable[[str], None]) -> Iterator[threading.Event]:
    """While the block runs, the user's signals are the run's; the event says that one came."""
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            say("stopping at once; work since the last snapshot is lost")
            threading.Thread(target=running.kill).start()
            return
        asked.set()
        say("stopping after a snapshot; once more to stop at once")
        running.stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, handle) for number in numbers]
    try:
        yield asked
    finally:
        for number, before in zip(numbers, previous, strict=True):
            signal.signal(number, before)


def _draw_curve(spec: TrainSpec, job: Job, record: Record, facts: LocalFacts) -> Path | None:
    """The PNG in the output folder; a run is not failed for want of a picture."""
    device = GPU if job.gpus else CPU
    title = f"{spec.target.image}:{spec.target.tag}  {device}  {record.iteration} iterations"
    picture = chart.draw(record.losses, record.accuracies, title)
    if picture is None:
        return None
    path = spec.output / CURVE_FILE
    with contextlib.suppress(StorageError, OSError):
        atomic.write_bytes(path, picture)
        give(path, facts)
        return path
    return None
