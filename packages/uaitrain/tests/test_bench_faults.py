"""A small sample of the campaign of faults and kills; bench/results/faults.json has a large one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.bases import REPOSITORY

SCHEDULES = 12


def _faults(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "bench" / "faults.py"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_twelve_schedules_leave_whole_images_and_a_seed_replays_one(tmp_path: Path) -> None:
    results = tmp_path / "faults.json"
    shown = _faults("--schedules", str(SCHEDULES), "--seed", "5", "--results", str(results))
    told = json.loads(results.read_text())

    assert told["wrong"] == []
    assert told["counts"]["schedules"] == len(told["seeds"]) == SCHEDULES
    assert told["counts"].get("tag wrong", 0) == told["counts"].get("wrong", 0) == 0
    first = next(line for line in shown.splitlines() if line.startswith("seed ")).partition(" -> ")
    assert first[0].startswith(f"seed {told['seeds'][0]}: ")
    assert first[0] in _faults("--replay", str(told["seeds"][0])).splitlines()
