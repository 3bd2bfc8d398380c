"""Numbers as people read them."""

from __future__ import annotations

import pytest
from uaitrain.units import human_bytes


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 KB"), (5 * 10**12, "5.0 TB")]
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text
