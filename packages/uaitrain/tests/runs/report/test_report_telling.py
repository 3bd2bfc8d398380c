"""A log as curves: every point once, the last attempt's word holds."""

from __future__ import annotations

import math

from report_samples import LENET
from uaitrain.runs.report.telling import FIRST_LINES, TAIL_LINES, read
from uaitrain.runs.told import file_lines


def trained(iteration: int, loss: float | str, time: str = "19:00:00") -> str:
    return (
        f"I1124 {time}.000000     7 solver.cpp:239] Iteration {iteration} (5 iter/s, 2s/10 iters), "
        f"loss = {loss}"
    )


BEGINS = "I1124 19:00:00.000000     7 solver.cpp:45] Initializing solver from parameters: "


def curve(telling: object, key: str) -> tuple[tuple[int, float], ...]:
    found = {each.key: each.points for each in telling.curves}  # type: ignore[attr-defined]
    return found.get(key, ())


def test_a_real_log_has_all_its_curves() -> None:
    told = read(file_lines(LENET))

    assert [each.key for each in told.curves] == ["loss", "accuracy", "rate", "speed"]
    assert curve(told, "loss")[:2] == ((0, 2.34747), (20, 0.961434))
    assert curve(told, "loss")[-1] == (400, told.record.loss)
    assert curve(told, "accuracy") == ((0, 0.0769), (250, 0.9516))
    assert curve(told, "rate")[1] == (20, 0.00998503)
    assert curve(told, "speed")[0] == (20, 6.32711)
    assert told.solver[0] == "test_iter: 100"
    assert told.solver[-1] == 'type: "SGD"'
    assert round(told.seconds) == 78


def test_where_iterations_go_back_the_later_attempt_holds() -> None:
    lines = [
        *(BEGINS, trained(0, 9.0), trained(10, 5.0), trained(20, 4.0), trained(30, 3.0)),
        *(BEGINS, trained(20, 4.5), trained(30, 3.5), trained(40, 2.0)),
    ]
    told = read(lines)

    assert curve(told, "loss") == ((0, 9.0), (10, 5.0), (20, 4.5), (30, 3.5), (40, 2.0))
    assert told.attempts == 2
    assert [x for x, _ in curve(told, "speed")] == [10, 20, 30, 40]


def test_what_is_not_a_number_is_kept_apart() -> None:
    told = read([trained(0, 1.0), trained(10, "nan"), trained(20, "inf"), trained(30, 2.0)])
    (loss, *_) = told.curves

    assert loss.shown == ((0, 1.0), (30, 2.0))
    assert [x for x, _ in loss.strange] == [10, 20]
    assert math.isinf(loss.strange[1][1])


def test_the_time_goes_on_over_midnight_and_new_year() -> None:
    lines = [
        trained(0, 1.0, "23:59:58").replace("I1124", "I1231"),
        trained(10, 1.0, "00:00:03").replace("I1124", "I0101"),
    ]

    assert read(lines).seconds == 5.0


def test_only_the_first_and_the_last_lines_are_kept() -> None:
    told = read(f"line {number}" for number in range(10_000))

    assert (len(told.first), len(told.tail)) == (FIRST_LINES, TAIL_LINES)
    assert told.tail[-1] == "line 9999"
    assert told.curves == ()
