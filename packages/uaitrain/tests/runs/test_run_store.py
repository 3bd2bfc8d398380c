"""The list of runs: a file that many processes use at once."""

from __future__ import annotations

import math
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.runs import a_run, running
from uaitrain.backends import Job, Mount
from uaitrain.errors import BusyError, StorageError, UsageError
from uaitrain.runs import store as store_module
from uaitrain.runs.run import Change
from uaitrain.runs.store import MIGRATIONS, Store

WRITER = """
import sys
from pathlib import Path
from support.runs import a_run
from uaitrain.runs.run import Change
from uaitrain.runs.store import Store
number = int(sys.argv[2])
store = Store(Path(sys.argv[1]))
for turn in range(10):
    run_id = f"mnist-{number}-{turn}"
    store.add(a_run(run_id, created=float(turn)))
    store.change(Change(run_id, turn + 1.0, {"state": "running", "iteration": number}))
    assert any(run.run_id == run_id for run in store.all())
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state" / "runs.sqlite")


def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
    job = Job(
        "host/mnist@sha256:aa",
        ("/usr/bin/python", "a b"),
        (Mount("/here", "/data/data", read_only=True),),
        {"UAITRAIN_RUN_ID": "mnist-1"},
        ("TOKEN",),
        gpus=2,
        memory_bytes=1 << 33,
    )
    run = a_run(job=job, loss=0.25, accuracy=1.0, exit_code=0, options={"slurm.setup": ["a"]})
    store.add(run)

    assert store.get(run.run_id) == run
    assert Store(store.path).all() == (run,)
    assert store.get("other") is None


def test_the_files_are_the_users_alone(store: Store) -> None:
    # The files beside it are there while somebody has it open.
    with sqlite3.connect(store.path) as held:
        store.add(a_run())
        held.execute("SELECT * FROM runs").fetchall()
        modes = {
            file.name: stat.S_IMODE(file.stat().st_mode) for file in store.path.parent.iterdir()
        }
        held.rollback()
    held.close()

    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_eight_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "new" / "runs.sqlite"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number)],
            cwd=Path(__file__).parents[1],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    said = [writer.communicate()[1] for writer in writers]

    assert said == [""] * 8
    runs = Store(path).all()
    assert len(runs) == 80
    assert {(run.state, f"mnist-{run.iteration}" == run.run_id[:7]) for run in runs} == {
        ("running", True)
    }


def test_what_was_learnt_earlier_does_not_undo_what_was_learnt_later(store: Store) -> None:
    run = running()
    store.add(run)
    store.change(Change(run.run_id, 20.0, {"state": "cancelled"}))
    store.change(Change(run.run_id, 10.0, {"state": "running"}))
    known = store.get(run.run_id)

    assert known is not None
    assert (known.state, known.updated) == ("cancelled", 20.0)


@pytest.mark.parametrize(
    ("state", "then"), [("cancelled", "cancelled"), ("running", "unknown"), ("unknown", "unknown")]
)
def test_a_run_that_is_over_does_not_become_unknown(store: Store, state: str, then: str) -> None:
    run = running(state=state)
    store.add(run)
    store.change(Change(run.run_id, 10.0, {"state": "unknown"}))
    known = store.get(run.run_id)

    assert known is not None
    assert known.state == then


def test_a_loss_that_is_no_number_is_kept_and_told(store: Store) -> None:
    store.add(a_run(loss=math.nan, accuracy=math.inf))
    (run,) = store.all()

    assert run.loss is not None
    assert math.isnan(run.loss)
    assert run.accuracy == math.inf
    assert (run.to_json()["loss"], run.to_json()["accuracy"]) == ("nan", "inf")


def test_only_what_was_never_sent_is_forgotten(store: Store) -> None:
    store.add(a_run("mnist-1"))
    store.add(running("mnist-2"))
    store.remove("mnist-1")
    store.remove("mnist-2")

    assert [run.run_id for run in store.all()] == ["mnist-2"]


def test_an_id_is_taken_once(store: Store) -> None:
    store.add(a_run())
    with pytest.raises(UsageError, match="there is a run mnist"):
        store.add(a_run())


def test_runs_of_one_backend_the_newest_first(store: Store) -> None:
    for number, backend in enumerate(("local", "slurm", "local")):
        store.add(a_run(f"mnist-{number}", backend=backend, created=float(number)))

    assert [run.run_id for run in store.all("local")] == ["mnist-2", "mnist-0"]
    assert len(store.all()) == 3


@pytest.mark.parametrize("text", ["mnist-20261124-191500-3f2a1c", "mnist-2", "3f2a1c"])
def test_a_run_is_found_by_what_is_enough(store: Store, text: str) -> None:
    store.add(a_run())
    store.add(a_run("alexnet-20261124-191500-aaaaaa"))

    assert store.find(text).run_id == "mnist-20261124-191500-3f2a1c"


@pytest.mark.parametrize("text", ["", "net", "a1c", "mnist-20261124-191500-3f2a1c-"])
def test_what_is_no_run_is_told_so(store: Store, text: str) -> None:
    store.add(a_run())
    with pytest.raises(UsageError, match="no run"):
        store.find(text)


def test_a_file_of_a_later_version_is_left_alone(store: Store) -> None:
    with sqlite3.connect(store.path) as file:
        file.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    file.close()
    with pytest.raises(StorageError, match="newer uaitrain"):
        Store(store.path)


def test_a_file_of_an_earlier_version_is_taken_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a step that no version has yet: the runs of the old file are still there."""
    path = tmp_path / "runs.sqlite"
    Store(path).add(a_run())
    later = (*MIGRATIONS, "CREATE TABLE notes (run_id TEXT) STRICT")
    monkeypatch.setattr(store_module, "MIGRATIONS", later)
    store = Store(path)

    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (len(later),)
        assert file.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    file.close()
    assert len(store.all()) == 1


def test_what_is_no_list_of_runs_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="the list of runs cannot be used"):
        Store(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        Store(tmp_path / "file" / "runs.sqlite")


def test_who_does_not_let_go_is_not_waited_for_forever(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_BUSY_SECONDS", 0.05)
    held = sqlite3.connect(store.path, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="another process"):
        store.add(a_run())
    held.close()
    store.add(a_run())


def test_a_change_names_fields_that_a_run_has(store: Store) -> None:
    run = a_run()
    store.add(run)
    with pytest.raises(AssertionError, match="colour"):
        store.change(Change(run.run_id, 2000.0, {"colour": "red"}))

    assert store.get(run.run_id) == replace(run)
