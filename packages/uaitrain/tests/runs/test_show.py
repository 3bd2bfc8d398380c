"""The live line, the plain lines and the curves."""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uaitrain.runs import chart, curve, term_plot
from uaitrain.runs.caffe_log import Evaluated, Evaluating, Event, Planned, Trained
from uaitrain.runs.live import LiveLine, NoView, PlainLines, View, WholeLog, describe, duration
from uaitrain.runs.png import Canvas
from uaitrain.runs.record import Record, watch

LOG = (Path(__file__).parent / "lenet.log").read_text().splitlines()


def _record(*events: Event) -> Record:
    record = Record()
    for event in events:
        record.note(event)
    return record


def _shown(view: View, lines: list[str]) -> Record:
    record = Record()
    for line, event in watch(lines, record):
        view.update(line, event, record)
    view.close()
    return record


def test_a_line_holds_all_that_is_known() -> None:
    record = _record(
        Planned(500),
        Evaluating(0, 0),
        Evaluated("accuracy", 0.9532),
        Trained(290, 0.3),
        Trained(300, 0.2134, 31.25),
    )

    assert describe(record) == (
        "iteration 300/500 · loss 0.2134 · accuracy 95.32 % · 31.2 it/s · 7 s left"
    )


def test_what_is_unknown_is_left_out() -> None:
    assert describe(_record(Trained(0, 2.5))) == "iteration 0 · loss 2.5"
    assert describe(Record()) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59.5, "1 min 0 s"),
        (200, "3 min 20 s"),
        (18600, "5 h 10 min"),
        (183600, "2 d 3 h"),
    ],
)
def test_durations_are_rounded_up_and_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_piped_output_is_one_plain_line_for_each_report() -> None:
    out = io.StringIO()
    _shown(PlainLines(out), LOG)
    lines = out.getvalue().splitlines()

    assert len(lines) == 21 + 2
    assert lines[-1].startswith("iteration 400/400 · loss 0.09162 · accuracy 95.16 %")
    assert "\r" not in out.getvalue()
    assert "\033" not in out.getvalue()


def test_the_live_line_leaves_a_clean_terminal() -> None:
    out = io.StringIO()
    _shown(LiveLine(out), LOG)

    assert out.getvalue().startswith("\r\033[K")
    assert out.getvalue().endswith("\r\033[K")
    assert "\n" not in out.getvalue()


def test_before_the_first_iteration_the_live_line_shows_what_the_run_says() -> None:
    out = io.StringIO()
    _shown(LiveLine(out), ["loading \x1b[31mdata"])

    assert "loading  [31mdata" in out.getvalue()


def test_the_whole_log_is_every_line_and_no_view_is_none() -> None:
    out = io.StringIO()
    _shown(WholeLog(out), LOG)
    _shown(NoView(), LOG)

    assert out.getvalue().splitlines() == LOG


def test_the_terminal_plot_is_compared_whole() -> None:
    points = [(x, 2.0 - x / 100) for x in range(0, 200, 10)]

    assert term_plot.plot(points, "loss", height=3) == (
        "loss\n"
        "      2 │█▇▆▄▃▂▁\n"
        "        │████████▆▅▄▃▁\n"
        "    0.1 │██████████████▇▆▅▃▂▁\n"
        "        └────────────────────\n"
        "         0                190"
    )


def test_a_run_with_one_point_has_no_curve() -> None:
    assert term_plot.plot([(0, 1.0)], "loss") == ""
    assert chart.draw([(0, 1.0)], [], "run") is None


points = st.lists(
    st.tuples(
        st.integers(0, 10**7),
        st.floats(allow_nan=True, allow_infinity=True, width=32),
    ),
    max_size=40,
)


@given(points)
def test_whatever_a_run_logs_can_be_plotted(values: list[tuple[int, float]]) -> None:
    drawn = term_plot.plot(values, "loss")
    finite = [value for value in values if math.isfinite(value[1])]

    assert bool(drawn) == (len(finite) > 1)


@settings(max_examples=10, deadline=None)
@given(points)
def test_whatever_a_run_logs_can_be_drawn(values: list[tuple[int, float]]) -> None:
    picture = chart.draw(values, values, "run")

    assert bool(picture) == (len([v for v in values if math.isfinite(v[1])]) > 1)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 10))
def test_ticks_lie_inside_and_are_few(low: float, width: float, most: int) -> None:
    within = curve.Span(low, low + width)
    slack = width * 1e-6 + abs(low) * 1e-9

    found = curve.ticks(within, most)
    assert len(found) <= most
    assert all(within.low - slack <= tick <= within.high + slack for tick in found)


def _rows(png: bytes) -> list[bytes]:
    """The pixels of an RGB PNG without filters, row by row; checks every chunk."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    position, kinds, data, width = 8, [], b"", 0
    while position < len(png):
        length, kind = struct.unpack(">I4s", png[position : position + 8])
        body = png[position + 8 : position + 8 + length]
        (crc,) = struct.unpack(">I", png[position + 8 + length : position + 12 + length])
        assert zlib.crc32(kind + body) == crc
        kinds.append(kind)
        if kind == b"IHDR":
            width, _, *rest = struct.unpack(">IIBBBBB", body)
            assert rest == [8, 2, 0, 0, 0]
        if kind == b"IDAT":
            data += body
        position += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    raw, stride = zlib.decompress(data), 3 * width + 1
    rows = [raw[start : start + stride] for start in range(0, len(raw), stride)]
    assert all(row[0] == 0 for row in rows)
    return [row[1:] for row in rows]


def test_a_canvas_becomes_the_same_pixels_in_the_png() -> None:
    canvas = Canvas(3, 2)
    canvas.dot(2, 1, (1, 2, 3))
    canvas.dot(9, 9, (0, 0, 0))
    white = b"\xff\xff\xff"

    assert _rows(canvas.png()) == [white * 3, white * 2 + b"\x01\x02\x03"]


def test_text_is_drawn_in_its_colour() -> None:
    canvas = Canvas(8, 8)
    canvas.text(0, 0, "1", (9, 9, 9), scale=1)
    drawn = [
        "".join("#" if row[3 * x] == 9 else "." for x in range(5)) for row in _rows(canvas.png())
    ]

    assert drawn[:7] == ["..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."]


def test_the_picture_of_a_real_run_shows_both_curves() -> None:
    record = _shown(NoView(), LOG)
    picture = chart.draw(record.losses, record.accuracies, "lenet")

    assert picture is not None
    rows = _rows(picture)
    assert (len(rows[0]) // 3, len(rows)) == (chart.WIDTH, chart.HEIGHT)
    colours = {row[x : x + 3] for row in rows for x in range(0, len(row), 3)}
    assert {bytes((31, 96, 180)), bytes((214, 104, 12))} < colours
