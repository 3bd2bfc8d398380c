"""What Caffe's log lines mean; ``lenet.log`` is from a real run (net listings left out)."""

from __future__ import annotations

from pathlib import Path

import pytest
from uaitrain.runs.caffe_log import (
    Ended,
    Evaluated,
    Evaluating,
    Event,
    Fatal,
    Planned,
    Rate,
    Snapshot,
    Trained,
    event_of,
)
from uaitrain.runs.record import Record, watch

LOG = (Path(__file__).parent / "lenet.log").read_text().splitlines()
PREFIX = "I1123 05:55:00.016389     7 solver.cpp:239] "


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            PREFIX + "Iteration 100 (31.2 iter/s, 3.205s/100 iters), loss = 0.21",
            Trained(100, 0.21, 31.2),
        ),
        (PREFIX + "Iteration 500, loss = 1.5e-05", Trained(500, 1.5e-05)),
        (PREFIX + "Iteration 250, Testing net (#1)", Evaluating(250, 1)),
        (PREFIX + "    Test net output #0: accuracy = 0.9708", Evaluated("accuracy", 0.9708)),
        (
            PREFIX + "    Test net output #1: loss = 0.1 (* 1 = 0.1 loss)",
            Evaluated("loss", 0.1),
        ),
        (PREFIX + "Iteration 0, lr = 0.01", Rate(0, 0.01)),
        (
            PREFIX + "Snapshotting to binary proto file /data/output/a b.caffemodel",
            Snapshot("/data/output/a b.caffemodel"),
        ),
        (PREFIX + "Snapshotting to HDF5 file /o/x.caffemodel.h5", Snapshot("/o/x.caffemodel.h5")),
        (PREFIX + "Optimization Done.", Ended(early=False)),
        (PREFIX + "Optimization stopped early.", Ended(early=True)),
        ("max_iter: 500", Planned(500)),
        (
            "F1123 05:55:00.016389     7 io.cpp:36] Check failed: fd != -1 (-1 vs. -1)",
            Fatal("Check failed: fd != -1 (-1 vs. -1)"),
        ),
        (PREFIX + "    Train net output #0: loss = 0.2 (* 1 = 0.2 loss)", None),
        (PREFIX + "Solving LeNet", None),
        ("Iteration 100, loss = 0.2", None),
        ("", None),
    ],
)
def test_a_line_and_its_event(line: str, event: Event | None) -> None:
    assert event_of(line) == event


def test_a_diverged_loss_is_still_a_loss() -> None:
    event = event_of(PREFIX + "Iteration 20 (5 iter/s, 4s/20 iters), loss = -nan")

    assert isinstance(event, Trained)
    assert event.loss != event.loss


def test_another_programs_prefix_before_the_line_is_passed_over() -> None:
    assert event_of("[rank 0] " + PREFIX + "Iteration 1, loss = 2") == Trained(1, 2.0)


def test_a_real_run_is_recorded_to_its_last_values() -> None:
    record = Record()
    for _ in watch(LOG, record):
        pass

    assert (record.iteration, record.max_iter, record.ended) == (400, 400, True)
    assert record.losses[0] == (0, 2.34747)
    assert record.losses[-1] == (400, 0.0916235)
    assert len(record.losses) == 21
    assert record.accuracies == [(0, 0.0769), (250, 0.9516)]
    assert record.outputs["loss"] == 0.148128
    assert record.seconds_left == 0


def test_the_time_left_counts_the_tests_between() -> None:
    record = Record()
    record.note(Planned(100))
    record.note(Trained(0, 2.0))
    assert record.seconds_left is None
    record.note(Trained(10, 1.0, 10.0))
    record.note(Trained(20, 1.0, 2.0))

    assert record.rate == 2.0
    assert record.seconds_left == pytest.approx(80 * 6 / 20)


def test_only_the_first_test_nets_accuracy_is_followed() -> None:
    record = Record()
    for event in (
        Evaluating(10, 0),
        Evaluated("accuracy", 0.5),
        Evaluated("accuracy_top5", 0.9),
        Evaluating(10, 1),
        Evaluated("accuracy", 0.1),
    ):
        record.note(event)

    assert record.accuracies == [(10, 0.5)]
    assert record.outputs == {"accuracy": 0.5, "accuracy_top5": 0.9}


def test_the_first_fatal_message_is_the_reason() -> None:
    record = Record()
    record.note(Fatal("Check failed: a"))
    record.note(Fatal("later"))

    assert record.fatal == "Check failed: a"
