"""What a run has told so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from uaitrain.runs.caffe_log import (
    Ended,
    Event,
    Fatal,
    Planned,
    TestBegun,
    TestOutput,
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
    _test: TestBegun = field(default_factory=lambda: TestBegun(0, 0))

    @property
    def loss(self) -> float | None:
        return self.losses[-1][1] if self.losses else None

    @property
    def accuracy(self) -> float | None:
        return self.accuracies[-1][1] if self.accuracies else None

    @property
    def seconds_left(self) -> float | None:
        """None while nobody can know."""
        left = self.max_iter - self.iteration
        return left / self.rate if self.rate and left >= 0 and self.max_iter else None

    def note(self, event: Event) -> None:
        match event:
            case Planned(max_iter):
                self.max_iter = max_iter
            case Trained(iteration, loss, rate):
                self.iteration = iteration
                # Caffe prints the first iteration with a rate of 0 and the last without one.
                self.rate = rate or self.rate
                if not self.losses or self.losses[-1][0] != iteration:
                    self.losses.append((iteration, loss))
            case TestBegun(iteration, _):
                self.iteration = max(self.iteration, iteration)
                self._test = event
            case TestOutput(name, value) if self._test.net == 0:
                self.outputs[name] = value
                if is_accuracy(name):
                    self._note_accuracy(value)
            case Ended():
                self.ended = True
            case Fatal(message):
                self.fatal = self.fatal or message
            case _:
                pass

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
