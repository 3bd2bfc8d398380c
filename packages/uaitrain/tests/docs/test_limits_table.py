"""The page about limits names every limit that the code has, with its value."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from doc_pages import table_below
from support.bases import REPOSITORY

PAGE = Path("docs/architecture/01-values.md")
SOURCES = REPOSITORY / "packages" / "uaitrain" / "src" / "uaitrain"
FOLDERS = ("oci", "bundles", "registry", "inspection", "bases")
_LIMIT = re.compile(r"^(MAX_[A-Z_]+) *=", re.MULTILINE)


def _limits() -> dict[str, str]:
    found = {}
    for folder in FOLDERS:
        for path in sorted((SOURCES / folder).rglob("*.py")):
            module = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
            for name in _LIMIT.findall(path.read_text("utf-8")):
                value = getattr(importlib.import_module(f"uaitrain.{module}"), name)
                found[f"`{module}.{name}`"] = f"{value:,}"
    return found


def test_the_table_of_limits_is_the_limits() -> None:
    assert {row[0]: row[1] for row in table_below(PAGE, "limits")} == _limits()
