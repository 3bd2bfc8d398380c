"""What the face's tests share: layers in Python where both sides find them."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracle.client import Oracle


@pytest.fixture
def my_layers(oracle: Oracle) -> None:
    """``my_layers`` can be imported on both sides."""
    name = "my_layers.py"
    oracle.write(name, Path(__file__).with_name(name).read_text())
