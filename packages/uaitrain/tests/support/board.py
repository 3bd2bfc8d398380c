"""TensorBoard's sidecar for tests, and TensorBoard itself to read what it writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from uaitrain.bases import board_file
from uaitrain.progress import Silent

from support.bases import kept_cache

Scalars = dict[str, list[tuple[int, float]]]
"""(step, value) of each tag."""


@pytest.fixture(scope="session")
def board_archive() -> Path:
    """The ``board.pyz`` that pack puts into images; the first run downloads its wheels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UAITRAIN_CACHE", str(kept_cache()))
        return board_file.fetch(Silent()) / board_file.FILE


def read_back(folder: Path) -> Scalars:
    """What TensorBoard's own reader keeps of the event files in ``folder``."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


@contextmanager
def running_tensorboard(logdir: Path) -> Iterator[str]:
    """``tensorboard --logdir`` on a free port; its address."""
    said = logdir.parent / "tensorboard.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)),
                *("--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", said.read_text())):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def scalars_of(address: str, run: str, tags: set[str]) -> Scalars:
    """What the server answers for ``tags`` of ``run``, as soon as it knows all of them."""
    base = f"{address}data/plugin/scalars/"
    deadline = time.monotonic() + 60
    while not tags <= set(_get(f"{base}tags").get(run, {})):
        assert time.monotonic() < deadline, _get(f"{base}tags")
        time.sleep(0.2)
    return {
        tag: [
            (step, value)
            for _, step, value in _get(f"{base}scalars?run={quote(run)}&tag={quote(tag)}")
        ]
        for tag in tags
    }


def _get(url: str) -> Any:
    with urlopen(url, timeout=30) as answer:  # noqa: S310 - the server of this test
        return json.load(answer)
