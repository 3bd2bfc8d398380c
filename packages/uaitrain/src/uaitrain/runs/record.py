"""What a run has told so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from uaitrain.runs.caffe_log import (
    Ended,
    Evaluated,
    Evaluating,
    Event,
    Fatal,
    Planned,
    Trained,
    event_of,
)


@dataclass
class Record:
    """The curves and last values of one run.

    ``losses`` and ``accuracies`` are (iteration, value); ``outputs`` are the newest values of
    the first test net; ``rate`` is in iterations a second.
    """

    max_iter: int = 0
    iteration: int = 0
    rate: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    accuracies: list[tuple[int, float]] = field(default_factory=list)
    outputs: dict[str, float] = field(default_factory=dict)
    ended: bool = False
    fatal: str = ""
    _timed_iterations: int = 0
    _timed_seconds: float = 0.0
    _test: Evaluating = field(default_factory=lambda: Evaluating(0, 0))

    @property
    def loss(self) -> float | None:
        return self.losses[-1][1] if self.losses else None

    @property
    def accuracy(self) -> float | None:
        return self.accuracies[-1][1] if self.accuracies else None

    @property
    def seconds_left(self) -> float | None:
        """By the pace of the whole run, tests included; None while nobody can know."""
        left = self.max_iter - self.iteration
        if not self._timed_iterations or left < 0:
            return None
        return left * self._timed_seconds / self._timed_iterations

    def note(self, event: Event) -> None:
        match event:
            case Planned(max_iter):
                self.max_iter = max_iter
            case Trained(iteration, loss, rate):
                self._note_pace(iteration, rate)
                self.iteration = iteration
                if not self.losses or self.losses[-1][0] != iteration:
                    self.losses.append((iteration, loss))
            case Evaluating(iteration, _):
                self.iteration = max(self.iteration, iteration)
                self._test = event
            case Evaluated(name, value) if self._test.net == 0:
                self.outputs[name] = value
                if is_accuracy(name):
                    self._note_accuracy(value)
            case Ended():
                self.ended = True
            case Fatal(message):
                self.fatal = self.fatal or message
            case _:
                pass

    def _note_pace(self, iteration: int, rate: float) -> None:
        # Caffe prints the first iteration with a rate of 0 and the last without one.
        if rate > 0 and self.losses:
            self.rate = rate
            steps = iteration - self.losses[-1][0]
            self._timed_iterations += steps
            self._timed_seconds += steps / rate

    def _note_accuracy(self, value: float) -> None:
        """One value a test: the first output that is an accuracy."""
        if not self.accuracies or self.accuracies[-1][0] != self._test.iteration:
            self.accuracies.append((self._test.iteration, value))


def is_accuracy(name: str) -> bool:
    lowered = name.lower()
    return "acc" in lowered or lowered.startswith("top")


def watch(lines: Iterable[str], record: Record) -> Iterator[tuple[str, Event | None]]:
    """Each line with what it tells, after ``record`` has taken note of it."""
    for line in lines:
        event = event_of(line)
        if event is not None:
            record.note(event)
        yield line, event
