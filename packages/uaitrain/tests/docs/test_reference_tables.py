"""The manual's tables say what the code says."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from doc_pages import blocks, table_below, text_of
from support.bases import REPOSITORY
from uaitrain import compat, errors, settings, ship_settings
from uaitrain.backends import State
from uaitrain.bases import catalogue, recipe
from uaitrain.files.ignore import DEFAULT_PATTERNS
from uaitrain.runs.run import SUBMITTING
from uaitrain.setting import Setting

PACKING = Path("docs/manual/packing.md")


def _code(text: object) -> str:
    return f"`{text}`" if text not in ("", None, ()) else ""


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _settings(rows: Iterable[Setting]) -> list[list[str]]:
    return [
        [
            _code(setting.key),
            _code(f"{setting.flag} {setting.metavar}".strip()),
            setting.kind,
            _code(_toml(setting.default)) if setting.default not in ("", None, ()) else "",
            setting.help,
        ]
        for setting in rows
    ]


def test_the_settings_table_is_the_settings() -> None:
    assert _settings(settings.SETTINGS) == table_below(PACKING, "settings")


@pytest.mark.parametrize("name", ["run", "local"])
def test_the_tables_of_runs_are_their_settings(name: str) -> None:
    page = Path("docs/manual/running.md")

    assert _settings(ship_settings.table(name)) == table_below(page, f"{name} settings")


def test_the_states_of_runs_are_explained() -> None:
    _, _, rest = text_of(Path("docs/manual/running.md")).partition("| state | means |")
    told = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in _table_lines(rest)))

    assert sorted(told) == sorted([SUBMITTING, *State])


def _table_lines(text: str) -> list[str]:
    lines = text.strip().splitlines()[1:]
    return list(itertools.takewhile(lambda line: line.startswith("|"), lines))


def _parameters(rows: tuple[compat.Parameter, ...]) -> list[list[str]]:
    return [
        [_code(row.name), row.help, "yes" if row.required else "no", _code(row.default)]
        for row in rows
    ]


def test_the_parameter_table_is_the_manuals_parameters() -> None:
    assert _parameters(compat.PARAMETERS) == table_below(PACKING, "parameters")


def test_the_extra_parameters_are_listed() -> None:
    assert _parameters(compat.EXTRA) == table_below(PACKING, "extra parameters")


def test_the_exit_codes_are_those_of_the_error_tree() -> None:
    listed = {int(code.strip("`")): kind for code, kind, *_ in table_below(PACKING, "exit codes")}
    tree = {
        kind.exit_code: _code(kind.__name__)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.UaitrainError)
        if kind.__base__ is errors.UaitrainError and kind is not errors.TrainingError
    }
    fixed = {
        errors.EXIT_OK: "",
        errors.EXIT_DIFFERENT: "",
        errors.EXIT_BUG: "",
        errors.EXIT_INTERRUPTED: "",
        errors.EXIT_TERMINATED: "",
    }

    assert tree | fixed == listed


def test_the_default_ignore_patterns_are_listed() -> None:
    assert [[_code(p)] for p in DEFAULT_PATTERNS] == [
        row[:1] for row in table_below(PACKING, "ignored")
    ]


def test_the_examples_of_a_catalogue_and_a_recipe_can_be_read() -> None:
    shown = [b.text for b in blocks(Path("docs/manual/base-images.md")) if b.language == "toml"]
    entries, made = shown

    assert len(catalogue.parse(entries, "catalogue.toml", Path("/"))) == 2
    assert "python3-nltk" in recipe.parse(made, "caffe-nltk", "caffe-nltk.toml").packages


def test_the_speed_table_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What git holds counts, not what a bench of this minute has written beside it.

    Without results there are no numbers; with them, what `bench/pack.py --readme` makes of them.
    """
    _, _, rest = text_of(Path("README.md")).partition("<!-- bench:begin -->\n")
    shown, end, _ = rest.partition("<!-- bench:end -->")
    assert end, "README.md has no place for the table"
    measured = subprocess.run(
        ["git", "show", ":bench/results/pack.json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    spec = importlib.util.spec_from_file_location("report", REPOSITORY / "bench" / "report.py")
    assert spec
    assert spec.loader
    report = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "report", report)
    spec.loader.exec_module(report)

    assert shown == (report.readme(json.loads(measured)) if measured else "")
