"""A log seen through a window: each line once, whatever the window shows."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from uaitrain.backends.uai import window
from uaitrain.backends.uai.window import Window


@given(st.integers(1, 80), st.integers(0, 2**32))
def test_windows_that_overlap_or_touch_give_the_whole_log(count: int, seed: int) -> None:
    """Windows that begin anywhere up to the end of what was shown, and end later."""
    lines = [f"I1124 19:00:{n:02d} step {n}" for n in range(count)]
    chance = random.Random(seed)  # noqa: S311 no secret is drawn here
    seen, shown, end = Window(), [], 0
    while end < count:
        start, end = chance.randint(0, end), chance.randint(end, count)
        shown += seen.new(lines[start:end])

    assert shown == lines


@given(st.lists(st.sampled_from(["a", "b"]), max_size=12), st.integers(0, 12))
def test_a_window_of_all_lines_never_repeats_one(lines: list[str], shown: int) -> None:
    """Also where lines are alike: the whole of what was seen is the longest overlap."""
    seen = Window()
    first = seen.new(lines[:shown])

    assert [*first, *seen.new(lines)] == lines


def test_the_overlap_that_is_found_is_the_longest() -> None:
    seen = Window()
    seen.new(["x", "a", "b", "a", "b"])

    assert seen.new(["a", "b", "a", "b", "c"]) == ("c",)


def test_what_is_kept_is_bounded() -> None:
    seen = Window()
    seen.new([str(n) for n in range(window.KEPT + 10)])

    assert len(seen._seen) == window.KEPT


def test_an_empty_window_has_nothing_new() -> None:
    seen = Window()
    seen.new(["a"])

    assert seen.new([]) == ()
