"""What an image says of itself, and images that say it badly."""

from __future__ import annotations

import json

import pytest
from support.inspected import image, layer
from uaitrain.inspection.shown import shown, shown_json
from uaitrain.inspection.summary import summarize
from uaitrain.values import replace

LAYER = layer({"a": b""})


def test_labels_and_history_are_understood() -> None:
    labels = {
        "org.opencontainers.image.base.name": "debian",
        "org.opencontainers.image.base.digest": "sha256:ab",
        "org.opencontainers.image.revision": "c0ffee",
        "dev.uaitrain.dirty": "true",
        "dev.uaitrain.version": "1.2",
        "dev.uaitrain.run": json.dumps({"deploy": ["d", "e f"], "cpu": ["c"], "gpu": "no list"}),
    }
    names = ["debian", "uaitrain pack: code"]
    found = summarize(image(LAYER, layer({"b": b""}), names=names, Labels=labels))

    assert (found.base_name, found.base_digest, found.made_by) == (
        "debian",
        "sha256:ab",
        "uaitrain 1.2",
    )
    assert (found.commit, found.dirty) == ("c0ffee", True)
    assert found.commands == {"deploy": ("d", "e f"), "cpu": ("c",)}
    assert [(each.name, each.own) for each in found.layers] == [("debian", False), ("code", True)]


@pytest.mark.parametrize("run", ["", "{", "[]", "[" * 100_000, "3", '{"deploy": {}}'])
def test_a_run_label_that_is_none_gives_no_commands(run: str) -> None:
    assert summarize(image(LAYER, Labels={"dev.uaitrain.run": run})).commands == {}


@pytest.mark.parametrize("history", [None, [], "text", [1, 2], [{"created_by": "a"}] * 5])
def test_a_history_that_does_not_fit_names_no_layer(history: object) -> None:
    given = image(LAYER)
    given = replace(given, config={**given.config, "history": history})

    assert [each.name for each in summarize(given).layers] == [""]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain ünïcode 漢字", "plain ünïcode 漢字"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\udcff", "\\udcff"),
    ],
)
def test_no_escape_sequence_is_shown(text: str, safe: str) -> None:
    assert shown(text) == safe
    told = json.dumps(shown_json({text: [text]}), ensure_ascii=False)
    assert all(c.isprintable() for c in told)
    told.encode()
