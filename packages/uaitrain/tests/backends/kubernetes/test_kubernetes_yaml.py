"""Our YAML is read by everybody's reader as what it was."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.backends.kubernetes import yaml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = TEXTS | st.integers(-(2**40), 2**40) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), min_size=1, max_size=3))
def test_documents_come_back_as_they_were(values: list[dict[str, Any]]) -> None:
    assert list(yaml.safe_load_all(yaml_text.documents(values))) == values


@pytest.mark.parametrize(
    "text",
    ["yes", "No", "y", "null", "~", "1e3", "0x1f", "12:30", "1_000", "2026-11-24", "-", "- a",
     "a: b", "#", "a #b", "!x", "&x", "*x", "", " a", "a ", "a\nb", "\t", "🙂", "\u2028", "\x85",
     "---"],
)  # fmt: skip
def test_texts_that_look_like_something_else_stay_texts(text: str) -> None:
    assert yaml.safe_load(yaml_text.documents([{text: [text]}])) == {text: [text]}


def test_a_long_list_of_numbers_is_wrapped() -> None:
    shown = yaml_text.documents([{"values": [*range(200)]}])

    assert max(len(line) for line in shown.splitlines()) <= 100
    assert yaml.safe_load(shown) == {"values": [*range(200)]}
