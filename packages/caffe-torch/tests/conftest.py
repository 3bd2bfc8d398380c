"""What the engine's tests may ask for: the oracle."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Before torch loads: the tests share two cores with the oracle.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(1, str(HERE.parents[1] / "uaitrain" / "tests"))

import pytest  # noqa: E402
from oracle.client import Oracle  # noqa: E402 - found through the lines above


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """Real BVLC Caffe 1.0.0 with pycaffe, CPU, one thread."""
    running = Oracle(tmp_path_factory.mktemp("oracle"))
    yield running
    running.close()
