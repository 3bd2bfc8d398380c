"""What the engine's tests may ask for: the oracle."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Before torch loads: the tests share two cores with the oracle.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Under nohup, and in a shell's background, these are ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(1, str(HERE.parents[1] / "uaitrain" / "tests"))
sys.path.insert(2, str(HERE.parents[2] / "bench" / "engine"))

import pytest  # noqa: E402
from jobs import lay_out_mnist  # noqa: E402 - found through the lines above
from oracle.client import Oracle  # noqa: E402 - found through the lines above


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """Real BVLC Caffe 1.0.0 with pycaffe, CPU, one thread."""
    running = Oracle(tmp_path_factory.mktemp("oracle"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MNIST's two LMDBs. Read only."""
    folder = tmp_path_factory.mktemp("mnist")
    lay_out_mnist(folder)
    return folder


@pytest.fixture
def job(mnist: Path, tmp_path: Path) -> Path:
    """An empty folder with MNIST's two LMDBs in it."""
    for database in mnist.iterdir():
        shutil.copytree(database, tmp_path / database.name)
    return tmp_path
