"""The tables of settings that `submit` takes beside the job are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_pages import table_below
from uaitrain.backends.slurm.runtimes import RUNTIMES
from uaitrain.backends.uai.jobs import STATES
from uaitrain.ship_settings import table

PAGES = {"slurm": "docs/manual/slurm.md", "uai": "docs/manual/uai.md"}
"""A table of ``uaitrain.toml``, and the page that lists it."""


def _code(text: object) -> str:
    return f"`{text}`" if text not in ("", None, ()) else ""


def _default(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) and value else str(value or "")


@pytest.mark.parametrize("name", PAGES)
def test_the_settings_are_listed(name: str) -> None:
    expected = [
        [
            _code(setting.key),
            _code(f"{setting.flag} {setting.metavar}".strip()),
            setting.kind,
            _code(_default(setting.default)),
            setting.help,
        ]
        for setting in table(name)
    ]

    assert expected == table_below(Path(PAGES[name]), f"{name} settings")


def test_the_runtimes_of_slurms_nodes_are_listed() -> None:
    expected = [
        [
            _code(each.name),
            each.about,
            each.gpus or "none",
            "run" if each.tried else "command line compared",
        ]
        for each in RUNTIMES
    ]

    assert expected == table_below(Path(PAGES["slurm"]), "slurm runtimes")


def test_the_platforms_words_are_listed() -> None:
    expected = [[_code(word), str(state)] for word, state in STATES.items()]

    assert expected == table_below(Path(PAGES["uai"]), "uai states")
