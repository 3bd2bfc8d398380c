"""The bench runs and says what was measured. Its figures are nobody's business here."""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[3] / "bench"
KEYS = {"work", "case", "tool", "seconds", "median", "ratio_to_uaitrain"}
CASES = ("first", "unchanged", "edited")


def bench(*words: str, script: str = "pack.py") -> str:
    done = subprocess.run(
        [sys.executable, str(BENCH / script), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the bench by name, as its scripts import it."""
    monkeypatch.syspath_prepend(BENCH)

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def row(case: str, tool: str, median: float, *, work: str = "A-small") -> dict[str, Any]:
    return {
        "work": work,
        "case": case,
        "tool": tool,
        "seconds": [median],
        "median": median,
        "ratio_to_uaitrain": round(median / 0.5, 2),
    }


def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    machine = {
        "date": "2026-01-02 03:04 UTC",
        "cpu": "a processor",
        "cores": 2,
        "memory_gib": 4,
        "system": "a system",
    }
    tools = {"uaitrain": "ours", "docker": "theirs"}
    return {"machine": machine, "tools": tools, "missing": {"crane": "no net"}, "rows": rows}


def test_a_quick_run_measures_us_docker_and_crane_in_every_case(tmp_path: Path) -> None:
    """It also pulls each result back and compares it with the folder."""
    results = tmp_path / "pack.json"

    shown = bench("--quick", "--rounds", "1", "--results", str(results))
    told = json.loads(results.read_text())

    assert told["missing"] == {}
    assert [set(row) for row in told["rows"]] == [KEYS] * 12
    assert {(row["work"], row["case"], row["tool"]) for row in told["rows"]} == {
        ("A-small", case, tool)
        for case in CASES
        for tool in ("uaitrain", "docker", "crane", "crane-pipe")
    }
    assert all(len(row["seconds"]) == 1 and row["median"] > 0 for row in told["rows"])
    assert all(row["ratio_to_uaitrain"] == 1 for row in told["rows"] if row["tool"] == "uaitrain")
    assert "| work | case | uaitrain | docker | crane | crane-pipe |" in shown
    assert sum(bar["met"] is not None for bar in told["bars"]) == 6
    assert told["machine"]["cores"] >= 1
    assert len(told["cores_busy_before"]["A-small"]) == 1


def test_the_table_is_made_from_the_results_alone(tmp_path: Path) -> None:
    rows = [
        row("first", "uaitrain", 0.5),
        row("first", "docker", 12.3),
        row("edited", "uaitrain", 0.25),
    ]
    results = tmp_path / "pack.json"
    results.write_text(json.dumps(document(rows)))

    shown = bench("--table", "--results", str(results)).splitlines()

    assert shown[:4] == [
        "| work | case | uaitrain | docker |",
        "| --- | --- | ---: | ---: |",
        "| A-small | first | 0.50 s | 12.3 s (25×) |",
        "| A-small | edited | 0.25 s | – |",
    ]
    assert "| A-small first: docker by ours | 2.5× or more | 24.6 × | met |" in shown
    assert shown[-1] == "1 of 18 bars met"


def test_a_bar_is_met_by_the_faster_of_two_peers_or_not_at_all(part: Any) -> None:
    ours, tar, pipe = (row("first", name, 0.1, work="C-large") for name in ("uaitrain", "a", "b"))
    tar |= {"tool": "crane", "median": 0.3}
    pipe |= {"tool": "crane-pipe", "median": 0.09}
    name = "C-large first: the faster of crane and crane-pipe by ours"

    def judged(*rows: dict[str, Any]) -> Any:
        return next(bar for bar in part("bars").of_packs(rows) if bar.bar == name)

    assert (judged(ours, tar, pipe).figure, judged(ours, tar, pipe).met) == (0.9, False)
    assert judged(ours, tar, pipe | {"median": 0.1}).met is True
    # The faster of two is not known from one of them.
    assert (judged(ours, tar).figure, judged(ours, tar).met) == (None, None)
    assert "not measured" in judged(ours).line()


def test_a_limit_is_judged_by_the_file_that_says_it_and_never_guessed(
    part: Any, tmp_path: Path
) -> None:
    bars = part("bars")
    (tmp_path / "cold.json").write_text(json.dumps({"received_bytes": 100_000}))
    medians = {"uaitrain --help": 61.0, "python -c pass": 14.0}
    (tmp_path / "start.json").write_text(json.dumps({"median_ms": medians}))

    met = {bar.bar: bar.met for bar in bars.of_all(tmp_path)}

    assert met["cold machine: received"] is False
    assert met["uaitrain --help"] is True
    assert met["100,000 files unchanged"] is None
    assert all(met[name] is None for name in met if name.startswith(("A-", "B-", "C-")))


def test_the_readme_says_on_what_it_was_measured_and_what_is_missing(
    part: Any, tmp_path: Path
) -> None:
    report = part("report")
    rows = [row("first", "uaitrain", 0.5), row("first", "docker", 1.0) | {"seconds": [1.0, 1.0]}]
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.README_BEGIN}stale\n{report.README_END}\nafter\n")

    report.into_readme(readme, document(rows))

    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "stale" not in text
    assert report.table(rows) in text
    assert "2026-01-02" in text
    assert "Rounds: A-small: 2 (uaitrain 1)." in text
    assert "Not measured: crane: no net." in text


def test_rounds_of_large_works_are_spread_over_the_whole_run(part: Any) -> None:
    order = list(part("pack").schedule({"A-small": 9, "B-many": 3}))

    assert [name for _, name in order].count("A-small") == 9
    assert [place for place, (_, name) in enumerate(order) if name == "B-many"] == [1, 5, 9]
    assert [number for number, name in order if name == "B-many"] == [0, 1, 2]


def test_a_pipeline_fails_with_any_of_its_programs(part: Any, tmp_path: Path) -> None:
    tools = part("tools")

    assert tools.pipe([["echo", "text"], ["cat"], ["cat"]], {}, tmp_path) == "text\n"
    with pytest.raises(subprocess.CalledProcessError, match="false"):
        tools.pipe([["false"], ["cat"]], {}, tmp_path)
    with pytest.raises(subprocess.CalledProcessError, match="exit 3"):
        tools.pipe([["echo", "text"], ["sh", "-c", "exit 3"]], {}, tmp_path)


def test_a_cold_machine_is_measured_by_every_byte_that_passes(tmp_path: Path) -> None:
    results = tmp_path / "cold.json"

    bench("--noise", "3000000", "--results", str(results), script="cold.py")
    told = json.loads(results.read_text())

    # The bar itself holds anywhere: the base is mounted, whatever its size.
    assert told["base_bytes"] > 3_000_000
    assert 0 < told["received_bytes"] < 100_000
    cases = told["cases"]
    assert cases["first"]["sent_bytes"] > cases["edited"]["sent_bytes"] > 10_000
    assert cases["unchanged"]["sent_bytes"] < 5_000


def test_the_proxy_counts_what_passes_in_each_direction(part: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        with (
            part("cold").counting(host) as counter,
            socket.create_connection(tuple(counter.host.split(":"))) as client,
        ):
            client.sendall(b"question")
            client.shutdown(socket.SHUT_WR)
            with server.accept()[0] as answering:
                assert answering.makefile("rb").read() == b"question"
                answering.sendall(b"answers")
            assert client.makefile("rb").read() == b"answers"
            taken = counter.take()

    assert taken == {"received_bytes": 7, "sent_bytes": 8, "connections": 1}
    assert set(counter.take().values()) == {0}


def test_the_start_is_measured_with_its_modules(tmp_path: Path) -> None:
    results = tmp_path / "start.json"

    shown = bench("--rounds", "1", "--results", str(results), script="start.py")
    told = json.loads(results.read_text())

    assert set(told["median_ms"]) >= {"python -c pass", "uaitrain --help"}
    modules = {name: each["modules"] for name, each in told["imports"].items()}
    assert modules["python -c pass"] < modules["uaitrain --help"]
    assert modules["uaitrain pack, unchanged"] < modules["uaitrain pack, one file edited"]
    assert "| `python -c pass` |" in shown


def test_loading_into_docker_is_measured_and_taken_apart(tmp_path: Path) -> None:
    results = tmp_path / "load.json"

    bench("--rounds", "1", "--results", str(results), script="docker_load.py")
    told = json.loads(results.read_text())

    assert told["median_seconds"] == told["seconds"]["cpu_image"][0] > 0
    assert set(told["steps"]) == {
        "is the name there",
        "which layers are there",
        "docker load",
        "is it there now",
    }


def test_the_kept_results_have_the_agreed_form(part: Any) -> None:
    told = json.loads((BENCH / "results" / "pack.json").read_text())
    bars = part("bars")
    rows = told["rows"]

    assert {frozenset(row) for row in rows} == {frozenset(KEYS)}
    assert {row["work"] for row in rows} == {"A-small", "B-many", "C-large"}
    assert {row["case"] for row in rows} == set(CASES)
    assert {"uaitrain", "docker"} <= {row["tool"] for row in rows}
    assert told["bars"] == bars.as_rows(bars.of_packs(rows))
