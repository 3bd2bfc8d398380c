"""``uaitrain inspect`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.inspected import image, layer
from uaitrain.cli.main import main
from uaitrain.oci.layout import Layout

BASE = layer({"usr/bin/python": b"python"})
NAMES = ["debian", "uaitrain pack: code"]
RUN = json.dumps({"deploy": ["/data/train.py"], "cpu": ["train", "a b"], "gpu": ["train"]})
LABELS = {
    "org.opencontainers.image.base.name": "a-base",
    "org.opencontainers.image.base.digest": "sha256:ab",
    "org.opencontainers.image.revision": "c0ffee",
    "dev.uaitrain.version": "0.1",
    "dev.uaitrain.run": RUN,
}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Two versions of a job in ``images``."""
    monkeypatch.chdir(tmp_path)
    layout = Layout(tmp_path / "images")
    for name, text in (("v1", b"one\ntwo\n"), ("v2", b"one\n\x1b[2J\n")):
        code = layer({"data/train.py": text})
        layout.put(image(BASE, code, names=NAMES, Labels=LABELS), name)
    return layout


def test_an_image_is_described(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "oci:images:v1"]) == 0
    shown = capsys.readouterr().out.splitlines()

    assert f"  digest         {layout.image('v1').digest}" in shown
    assert "  base           a-base sha256:ab" in shown
    assert "  commit         c0ffee" in shown
    assert "  cpu command    train 'a b'" in shown
    assert shown[-1].endswith("pack: code")
    assert not any("0644" in line for line in shown)


def test_the_files_of_the_packs_layers_are_listed(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "oci:images:v1", "--files"]) == 0
    shown = capsys.readouterr().out
    assert "data/train.py" in shown
    assert "1 file  pack: code" in shown
    assert "usr/bin/python" not in shown
    assert main(["inspect", "oci:images:v1", "--files", "--all-layers", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["layers"]

    assert [[file["path"] for file in each["files"]] for each in told] == [
        ["usr/bin/python"],
        ["data/train.py"],
    ]


def test_a_difference_is_shown_and_is_the_exit_code(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "oci:images:v1", "--diff", "oci:images:v2", "--patch"]) == 1
    shown = capsys.readouterr().out

    assert "~ data/train.py  (content, 8 B -> 9 B)" in shown
    assert "-two\n" in shown
    assert "+\\x1b[2J\n" in shown
    assert "\x1b" not in shown


def test_a_difference_in_json(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "oci:images:v1", "--diff", "oci:images:v2", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)

    assert (told["same"], told["base"]["same"], told["read_layers"]) == (False, True, 2)
    assert [(file["path"], file["how"], file["what"]) for file in told["files"]] == [
        ("data/train.py", "changed", ["content"])
    ]


def test_an_image_does_not_differ_from_itself(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "oci:images:v1", "--diff", "oci:images:v1"]) == 0
    assert "nothing differs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["--patch"], ["--all-layers"], ["--files", "--diff", "oci:images:v2"], ["--diff", "archive:"]],
)
def test_flags_that_do_not_go_together_are_refused(layout: Layout, words: list[str]) -> None:
    assert main(["inspect", "oci:images:v1", *words]) == 2
