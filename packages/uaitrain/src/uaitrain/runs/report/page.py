"""A report as one HTML page: no network, no other file, nothing that runs but its own script.

Everything that is shown comes from runs and is escaped. The page's policy (Content-Security-
Policy) names the digest of its one script, so that nothing else could run in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

from uaitrain.runs.curve import Span
from uaitrain.runs.report.drawing import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    across,
    picture,
    scales,
    thinned,
)
from uaitrain.runs.report.model import Curve, Point, RunReport, Section

_TABLE_ROWS = 200


def render(report: RunReport) -> str:
    """The whole page."""
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    head = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(report.title)}: {escape(report.state)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
    ]
    end = [f"<script>{script}</script>", "</body>", "</html>"]
    return "\n".join([*head, *_body(report), *end]) + "\n"


def _body(report: RunReport) -> Iterator[str]:
    yield "<header>"
    yield f"<h1>{escape(report.title)}</h1>"
    yield f'<p class="state {_css_word(report.state)}">{escape(report.state)}</p>'
    if report.reason:
        yield f'<p class="reason">{escape(report.reason)}</p>'
    yield "</header>"
    yield "<main>"
    yield '<dl class="tiles">'
    for name, value in _tiles(report):
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
    yield "</dl>"
    if not report.curves:
        yield "<p>The log has no iteration yet.</p>"
    drawn = [curve for curve in report.curves if curve.shown]
    within = across(drawn) if drawn else Span(0, 1)
    for curve in report.curves:
        yield from _figure(curve, within)
    for section in report.sections:
        if section.facts:
            yield from _section(section)
    yield '<section><h2>Log</h2><p class="note">'
    yield f"The last {len(report.tail)} lines.</p>" if report.tail else "No lines.</p>"
    if report.tail:
        yield f'<pre tabindex="0" class="log">{escape(chr(10).join(report.tail))}</pre>'
    yield "</section></main>"
    yield f"<footer>Made by uaitrain report, {escape(report.made)}</footer>"


def _tiles(report: RunReport) -> Iterator[tuple[str, str]]:
    of = f" of {report.max_iter:,}" if report.max_iter else ""
    yield "iteration", f"{report.iteration:,}{of}"
    if report.loss is not None:
        yield "loss", f"{report.loss:.6g}"
    if report.accuracy is not None:
        yield "accuracy", f"{report.accuracy:.2%}"
    if report.seconds:
        yield "training time", duration(report.seconds)


def duration(seconds: float) -> str:
    """``1 h 02 min``, ``3 min 20 s``, ``4.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _figure(curve: Curve, within: Span) -> Iterator[str]:
    points = thinned(curve.shown)
    unit = f" ({curve.unit})" if curve.unit else ""
    yield f'<figure id="figure-{curve.key}">'
    yield f"<figcaption><h2>{escape(curve.title + unit)}</h2>"
    if points and len(scales(points)) > 1:
        yield f'<fieldset><legend class="unseen">Scale of {escape(curve.title)}</legend>'
        for number, name in enumerate(("linear", "log")):
            checked = "" if number else " checked"
            yield (
                f'<label><input type="radio" name="scale-{curve.key}" value="{name}"{checked}>'
                f"{name}</label>"
            )
        yield "</fieldset>"
    yield "</figcaption>"
    if points:
        yield picture(curve, points, within)
        yield f'<output class="value" id="value-{curve.key}" aria-live="polite"></output>'
        told = _json(curve, points, within)
        yield f'<script type="application/json" class="points">{told}</script>'
    for note in _notes(curve, points):
        yield f'<p class="note">{escape(note)}</p>'
    if points:
        yield from _table(curve)
    yield "</figure>"


def _notes(curve: Curve, points: tuple[Point, ...]) -> Iterator[str]:
    if len(points) < len(curve.shown):
        yield (
            f"{len(points):,} of {len(curve.shown):,} points are drawn: of each stretch the least "
            "and the greatest value."
        )
    if strange := curve.strange:
        yield (
            f"{len(strange):,} values are not numbers that can be drawn, the first one at "
            f"iteration {strange[0][0]:,}: {strange[0][1]}."
        )


def _table(curve: Curve) -> Iterator[str]:
    rows = thinned(curve.shown, _TABLE_ROWS)
    yield f"<details><summary>{escape(curve.title)} as a table</summary>"
    yield '<table><thead><tr><th scope="col">iteration</th>'
    yield f'<th scope="col">{escape(curve.title.lower())}</th></tr></thead><tbody>'
    for iteration, value in rows:
        yield f"<tr><td>{iteration}</td><td>{value:.6g}</td></tr>"
    yield "</tbody></table></details>"


def _section(section: Section) -> Iterator[str]:
    yield f"<section><h2>{escape(section.title)}</h2><dl>"
    for fact in section.facts:
        multiline = ' class="text"' if "\n" in fact.value else ""
        yield f"<dt>{escape(fact.name)}</dt><dd{multiline}>{escape(fact.value)}</dd>"
    yield "</dl></section>"


def _json(curve: Curve, points: tuple[Point, ...], within: Span) -> str:
    """The points for the script; no sign in it can end the element that holds it."""
    told = {
        "name": curve.title.lower(),
        "points": [[x, y] for x, y in points],
        "across": [within.low, within.high],
        "plot": {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
        "scales": {scale.name: [scale.within.low, scale.within.high] for scale in scales(points)},
    }
    text = json.dumps(told, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _css_word(state: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in state.lower())


@cache
def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
