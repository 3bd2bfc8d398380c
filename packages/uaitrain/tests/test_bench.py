"""The bench runs and says what was measured. Its figures are nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[3] / "bench"
KEYS = {"work", "case", "tool", "seconds", "median", "ratio_to_uaitrain"}


def bench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCH / "pack.py"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_quick_run_measures_us_and_docker_in_every_case(tmp_path: Path) -> None:
    """It also pulls each result back and compares it with the folder."""
    results = tmp_path / "pack.json"

    shown = bench("--quick", "--results", str(results))
    rows = json.loads(results.read_text())

    assert [set(row) for row in rows] == [KEYS] * 6
    assert {(row["work"], row["case"], row["tool"]) for row in rows} == {
        ("A-small", case, tool)
        for case in ("first", "unchanged", "edited")
        for tool in ("uaitrain", "docker")
    }
    assert all(len(row["seconds"]) == 1 and row["median"] > 0 for row in rows)
    assert all(row["ratio_to_uaitrain"] == 1 for row in rows if row["tool"] == "uaitrain")
    assert "| work | case | uaitrain | docker |" in shown
    assert json.loads((tmp_path / "pack.meta.json").read_text())["cores"] >= 1


def test_the_table_is_made_from_the_results_alone(tmp_path: Path) -> None:
    rows = [
        {
            "work": "A-small",
            "case": case,
            "tool": tool,
            "median": median,
            "ratio_to_uaitrain": ratio,
        }
        for case, tool, median, ratio in (
            ("first", "uaitrain", 0.5, 1.0),
            ("first", "docker", 12.3, 24.6),
            ("edited", "uaitrain", 0.25, 1.0),
        )
    ]
    results = tmp_path / "pack.json"
    results.write_text(json.dumps(rows))

    assert bench("--table", "--results", str(results)).splitlines() == [
        "| work | case | uaitrain | docker |",
        "| --- | --- | ---: | ---: |",
        "| A-small | first | 0.50 s | 12.3 s (25×) |",
        "| A-small | edited | 0.25 s | – |",
    ]


def test_the_kept_results_have_the_agreed_form() -> None:
    rows = json.loads((BENCH / "results" / "pack.json").read_text())

    assert rows
    assert {frozenset(row) for row in rows} == {frozenset(KEYS)}
    assert {row["work"] for row in rows} == {"A-small", "B-many", "C-large"}
    assert {row["case"] for row in rows} == {"first", "unchanged", "edited"}
    assert {"uaitrain", "docker"} <= {row["tool"] for row in rows}
