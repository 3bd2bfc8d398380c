"""One good job a test; its databases are made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_job import Job, good_job, make_lmdb


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    for name in ("train_lmdb", "test_lmdb"):
        make_lmdb(folder / name, records=40)
    return folder


@pytest.fixture
def job(tmp_path: Path, databases: Path) -> Job:
    return good_job(tmp_path, databases)
