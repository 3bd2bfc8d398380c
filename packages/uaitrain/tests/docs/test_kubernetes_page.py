"""The page on Kubernetes says what the code says."""

from __future__ import annotations

from pathlib import Path

from doc_pages import table_below, text_of
from test_reference_tables import _code, _toml
from uaitrain.backends.kubernetes.backend import OLDEST_SERVER
from uaitrain.backends.kubernetes.cluster import NEEDS
from uaitrain.ship_settings import table

PAGE = Path("docs/manual/kubernetes.md")


def test_the_settings_are_those_of_the_table() -> None:
    expected = [
        [
            _code(setting.key),
            _code(f"{setting.flag} {setting.metavar}".strip()),
            setting.kind,
            _code(_toml(setting.default)) if setting.default not in ("", None, ()) else "",
            setting.help,
        ]
        for setting in table("kubernetes")
    ]

    assert expected == table_below(PAGE, "kubernetes settings")


def test_the_oldest_server_is_the_one_that_is_checked_for() -> None:
    assert f"**Kubernetes {OLDEST_SERVER}**" in text_of(PAGE)


def test_every_permission_that_is_needed_is_named() -> None:
    (sentence,) = (
        line for line in text_of(PAGE).splitlines() if line.startswith("In the namespace")
    )

    for need in NEEDS:
        assert need.verb in sentence
        assert f"`{need.resource}{need.part and '/'}{need.part}`" in sentence
