"""The page in a real Chromium: it draws, it answers the pointer and the keys, it is silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from report_samples import LENET, hostile
from support.chromium import Page, running_chromium
from uaitrain.runs.report import render
from uaitrain.runs.report.gather import Job, from_folder
from uaitrain.runs.report.telling import read
from uaitrain.runs.told import file_lines

LIGHT_CURVE, DARK_CURVE = (0x0B, 0x63, 0xC5), (0x6C, 0xB2, 0xFF)

PLACE = """(() => {
  const figure = document.querySelector("#figure-loss");
  const path = [...figure.querySelectorAll("path.curve")]
    .find((each) => getComputedStyle(each.parentNode).display !== "none");
  const at = path.getPointAtLength(path.getTotalLength() * SHARE);
  const there = at.matrixTransform(path.getScreenCTM());
  return [there.x, there.y];
})()"""
"""Where on the page the visible loss curve is, a share of its length from its begin."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with running_chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def lenet(tmp_path: Path) -> Path:
    """The report of an output folder that holds a real log of LeNet."""
    log = tmp_path / "output" / "log" / "lenet-20261124-191500-3f2a1c.0.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(LENET.read_bytes())
    report = from_folder(tmp_path / "output", Job())
    page = tmp_path / "report.html"
    page.write_text(render(report))
    return page


def pixel_at(page: Page, shot: Path, share: float) -> tuple[int, int, int]:
    x, y = page.evaluate(PLACE.replace("SHARE", str(share)))
    with Image.open(page.screenshot(shot)) as image:
        return image.convert("RGB").getpixel((int(x), int(y)))  # type: ignore[return-value]


def is_near(pixel: tuple[int, int, int], colour: tuple[int, int, int]) -> bool:
    """Edges are smoothed."""
    return all(abs(a - b) < 90 for a, b in zip(pixel, colour, strict=True))


def test_the_page_loads_without_a_request_or_a_complaint(browser: Page, lenet: Path) -> None:
    browser.open(lenet)

    assert [url for url in browser.requested if not url.startswith("data:")] == [lenet.as_uri()]
    assert browser.complaints == []
    assert browser.evaluate("document.querySelectorAll('svg').length") == 4
    assert "lenet-20261124-191500-3f2a1c" in browser.evaluate("document.title")


def test_the_curves_are_painted_where_the_points_are(
    browser: Page, lenet: Path, tmp_path: Path
) -> None:
    browser.open(lenet)

    for share in (0.1, 0.35, 0.6, 0.9):
        assert is_near(pixel_at(browser, tmp_path / "shot.png", share), LIGHT_CURVE)


def test_dark_is_dark(browser: Page, lenet: Path, tmp_path: Path) -> None:
    browser.media(scheme="dark")
    try:
        browser.open(lenet)
        with Image.open(browser.screenshot(tmp_path / "shot.png")) as image:
            corner = image.convert("RGB").getpixel((2, 2))
        curve = pixel_at(browser, tmp_path / "shot.png", 0.5)
    finally:
        browser.media()

    assert corner == (0x14, 0x18, 0x1C)
    assert is_near(curve, DARK_CURVE)


def test_the_pointer_and_the_keys_tell_values(browser: Page, lenet: Path) -> None:
    browser.open(lenet)
    losses = next(c.points for c in read(file_lines(LENET)).curves if c.key == "loss")
    shown = "document.querySelector('#value-loss').textContent"
    left, top, width, height = browser.evaluate(
        "(() => { const box = document.querySelector('#plot-loss .frame').getBoundingClientRect();"
        " return [box.left, box.top, box.width, box.height]; })()"
    )
    browser.point_at(left + width / 2, top + height / 2)
    middle = browser.evaluate(shown)
    browser.point_at(2, 2)
    gone = browser.evaluate(shown)
    browser.evaluate("document.querySelector('#plot-loss').focus()")
    browser.press("Home")
    browser.press("ArrowRight")
    second = browser.evaluate(shown)

    assert middle == f"iteration 200 · loss {dict(losses)[200]:g}"
    assert gone == ""
    assert second == f"iteration 20 · loss {losses[1][1]:g}"


def test_the_scale_is_switched_and_the_cursor_follows(
    browser: Page, lenet: Path, tmp_path: Path
) -> None:
    browser.open(lenet)
    browser.evaluate("document.querySelector('#plot-loss').focus()")
    height = "+document.querySelector('#plot-loss .cursor circle').getAttribute('cy')"
    browser.press("Home")
    browser.press("ArrowRight")
    linear = browser.evaluate(height)
    browser.evaluate("document.querySelector('input[name=scale-loss][value=log]').click()")
    log = browser.evaluate(height)
    visible = browser.evaluate(
        "['.linear', '.log'].map((name) =>"
        " getComputedStyle(document.querySelector('#plot-loss ' + name)).display)"
    )
    drawn = browser.evaluate(
        "[...document.querySelectorAll('#plot-loss .log .point')][1].getAttribute('cy')"
    )

    assert visible == ["none", "inline"]
    assert log != linear
    assert abs(log - float(drawn)) < 0.1
    assert is_near(pixel_at(browser, tmp_path / "shot.png", 0.5), LIGHT_CURVE)


def test_markup_from_a_run_stays_text(browser: Page, tmp_path: Path) -> None:
    page = tmp_path / "hostile.html"
    page.write_text(render(hostile()))
    browser.open(page)
    browser.evaluate("document.querySelector('#plot-loss').focus()")

    assert browser.complaints == []
    assert browser.requested == [page.as_uri()]
    assert browser.evaluate("document.images.length") == 0
    assert "</script>" in browser.evaluate("document.title")
    assert "<img" in browser.evaluate("document.querySelector('#value-loss').textContent")


def test_it_prints_and_fits_a_telephone(browser: Page, lenet: Path) -> None:
    browser.open(lenet, width=360, height=800)
    wide = browser.evaluate("document.documentElement.scrollWidth")
    printed = browser.pdf()

    assert wide <= 360
    assert printed.startswith(b"%PDF")


def test_every_picture_has_a_name_and_every_control_a_label(browser: Page, lenet: Path) -> None:
    """As the browser tells it to assistive programs."""
    browser.open(lenet)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node.get("role", {}).get("value") in ("image", "radio")
    ]

    assert len([role for role, _ in named if role == "radio"]) == 8
    assert len([role for role, _ in named if role == "image"]) == 4
    assert all(name for _, name in named)
    assert any(name.startswith("Loss over iterations 0 to 400") for _, name in named)
