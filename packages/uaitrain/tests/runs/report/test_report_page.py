"""The page as text: what it holds, and what it can never do."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import HOSTILE, LENET, hostile
from uaitrain.runs.report import Curve, RunReport, Section, render
from uaitrain.runs.report.drawing import BOTTOM, LEFT, RIGHT, TOP, scales, thinned
from uaitrain.runs.report.page import duration
from uaitrain.runs.report.telling import read
from uaitrain.runs.told import file_lines


def report(*curves: Curve) -> RunReport:
    return RunReport("a run", "succeeded", "now", curves, (), ())


class Elements(HTMLParser):
    """The elements of a page, and what stands in its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script" and not self.scripts[-1]:
            self.scripts[-1] = data


def test_nothing_that_comes_from_a_run_is_markup() -> None:
    page = render(hostile())
    elements = Elements(page)
    tags = [tag for tag, _ in elements.found]

    assert tags.count("script") == 2
    assert "img" not in tags
    assert all(not name.startswith("on") for _, attrs in elements.found for name in attrs)
    assert html.escape(HOSTILE) in page
    assert json.loads(elements.scripts[0])["name"] == HOSTILE.lower()


def test_nothing_is_loaded_from_anywhere() -> None:
    page = render(report(*read(file_lines(LENET)).curves))
    loading = {
        (tag, name, value)
        for tag, attrs in Elements(page).found
        for name, value in attrs.items()
        if name in ("src", "href", "data", "action", "srcset", "poster", "xlink:href")
    }

    assert loading == {("link", "href", "data:,")}
    assert "@import" not in page
    assert "url(" not in page


def test_the_policy_allows_the_pages_own_style_and_script_alone() -> None:
    page = render(report())
    policy = html.unescape(re.search(r'Policy" content="([^"]+)"', page)[1])  # type: ignore[index]
    script = Elements(page).scripts[-1]
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]  # type: ignore[index]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))

    assert allowed["default-src"] == "'none'"
    for name, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

        assert allowed[name] == f"'sha256-{digest}'"


def test_points_are_drawn_where_their_values_are() -> None:
    page = render(report(Curve("loss", "Loss", ((0, 100.0), (50, 10.0), (100, 1.0)))))
    linear, log = re.findall(r'<path class="curve" d="M([^"]+)"', page)
    middle = (LEFT + RIGHT) / 2

    assert linear == (
        f"{LEFT}.0 {TOP}.0 L{middle} {BOTTOM - (BOTTOM - TOP) / 11:.1f} L{RIGHT}.0 {BOTTOM}.0"
    )
    assert log == f"{LEFT}.0 {TOP}.0 L{middle} {(TOP + BOTTOM) / 2} L{RIGHT}.0 {BOTTOM}.0"


def test_a_log_scale_is_offered_where_it_can_be() -> None:
    positive = render(report(Curve("loss", "Loss", ((0, 2.0), (1, 1.0)))))
    with_zero = render(report(Curve("loss", "Loss", ((0, 2.0), (1, 0.0)))))

    assert '<input type="radio" name="scale-loss" value="log">' in positive
    assert "<input" not in with_zero


def test_values_that_cannot_be_drawn_are_told() -> None:
    page = render(report(Curve("loss", "Loss", ((0, 2.0), (1200, float("nan"))))))
    nothing = render(report(Curve("loss", "Loss", ((5, float("inf")),))))

    assert "the first one at iteration 1,200: nan" in page
    assert "<svg" not in nothing
    assert "the first one at iteration 5: inf" in nothing


POINTS = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda y: round(y, 6)), min_size=1, max_size=300
)


@given(POINTS, st.integers(5, 60))
def test_thinning_keeps_every_peak_and_both_ends_of_the_values(
    values: list[float], most: int
) -> None:
    points = tuple(enumerate(values))
    kept = thinned(points, most)

    assert len(kept) <= most
    assert set(kept) <= set(points)
    assert list(kept) == sorted(kept)
    assert max(y for _, y in kept) == max(values)
    assert min(y for _, y in kept) == min(values)
    assert kept[-1] == points[-1]


@given(POINTS)
def test_any_curve_stays_inside_its_frame(values: list[float]) -> None:
    points = tuple(enumerate(values))
    for scale in scales(points):
        for _, y in points:
            assert TOP - 0.01 <= scale.y(y) <= BOTTOM + 0.01


def test_a_million_points_make_a_page_that_loads() -> None:
    points = tuple((n, 1.0 / (1 + n)) for n in range(1_000_000))
    page = render(report(Curve("loss", "Loss", points)))

    assert len(page) < 300_000
    assert re.search(r"1,49\d of 1,000,000 points are drawn", page)


def test_empty_facts_and_sections_are_left_out() -> None:
    section = Section.of("Image", ("name", ""), ("digest", ""))
    page = render(RunReport("a", "failed", "now", (), (section,), ()))

    assert "<h2>Image</h2>" not in page
    assert "no iteration yet" in page


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.21, "4.2 s"), (59.99, "60.0 s"), (200, "3 min 20 s"), (3725, "1 h 02 min")],
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
