from __future__ import annotations

import pytest
from data_checks import Place
from oracle.client import Oracle


@pytest.fixture
def place(oracle: Oracle) -> Place:
    """A new folder for a test's data; ``{here}`` in a layer's text is its path."""
    number = len(list(oracle.folder.iterdir()))
    return Place(oracle, f"place{number}")
