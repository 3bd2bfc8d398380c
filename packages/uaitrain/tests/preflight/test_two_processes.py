"""Work that two processes share gives what one alone would give."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from uaitrain.preflight.two_processes import for_all

ITEMS = list(range(101))


def children() -> set[str]:
    """Of all this process's threads: other tests' servers are among them."""
    return {
        pid
        for thread in Path("/proc/self/task").iterdir()
        for pid in (thread / "children").read_text().split()
    }


@pytest.fixture(autouse=True)
def leaves_no_process() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


def test_results_come_in_the_items_order() -> None:
    assert for_all(lambda item: item * item, ITEMS) == [item * item for item in ITEMS]
    assert for_all(lambda item: item, [7]) == [7]
    assert for_all(lambda item: item, []) == []


def test_two_processes_take_part() -> None:
    processes = set(for_all(lambda _: os.getpid(), ITEMS))

    assert len(processes) == min(2, len(os.sched_getaffinity(0)))


def test_results_of_any_size_fit_through_the_pipe() -> None:
    assert for_all(lambda item: "x" * 10_000 * item, ITEMS)[-1] == "x" * 1_000_000


def test_the_half_of_a_killed_fork_is_done_here() -> None:
    parent = os.getpid()

    def work(item: int) -> int:
        if os.getpid() != parent and item > 50:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert for_all(work, ITEMS) == ITEMS


def test_an_error_is_raised_here_whoever_met_it() -> None:
    def work(item: int) -> int:
        return 1 // (item - 51)

    with pytest.raises(ZeroDivisionError):
        for_all(work, ITEMS)


def test_an_interrupted_call_leaves_no_process() -> None:
    parent = os.getpid()

    def work(item: int) -> int:
        if os.getpid() == parent:
            raise KeyboardInterrupt
        time.sleep(3600)
        return item

    with pytest.raises(KeyboardInterrupt):
        for_all(work, ITEMS)
