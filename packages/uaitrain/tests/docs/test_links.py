"""Every link in the documentation leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_pages import repository_files, text_of
from support.bases import REPOSITORY

PAGES = repository_files("*.md")
_CODE = re.compile(r"```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """The names that GitHub and GitLab give to headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(text))
    return {title.strip().replace(" ", "-") for title in kept}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_CODE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (REPOSITORY / page.parent / path).resolve() if path else REPOSITORY / page
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize(
    "folder", ["docs/architecture", "docs/decisions", "docs/manual"], ids=lambda name: name
)
def test_every_page_stands_in_its_folders_index(folder: str) -> None:
    index = {"docs/architecture": "00-overview.md"}.get(folder, "README.md")
    linked = set(_LINK.findall(text_of(Path(folder) / index)))
    pages = {page.name for page in PAGES if str(page.parent) == folder} - {index}

    assert pages - linked == set()
