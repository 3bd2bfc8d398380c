"""The rehearsal of preemption, with real Caffe in real containers that are really killed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.bases import BuiltBase
from support.engines import RunningDocker
from uaitrain.engines import Engine
from uaitrain.engines.facts import LocalFacts
from uaitrain.errors import UsageError
from uaitrain.frameworks import prototxt
from uaitrain.runs.attempts import Attempt, Attempts
from uaitrain.runs.live import NoView
from uaitrain.runs.pair_watch import Written
from uaitrain.runs.pairs import Pair
from uaitrain.runs.rehearsal import (
    Claim,
    Rehearsal,
    finished,
    history,
    killed_within,
    rehearse,
    stopped,
    went_on,
)
from uaitrain.runs.rehearsal_job import prepared
from uaitrain.spec import CPU, Framework, Target, TrainSpec

NET = """
name: "rehearsed"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {
    shape { dim: 4 dim: 600 } shape { dim: 4 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 600 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "/data/net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed"
display: 1000 max_iter: 8000 snapshot: 2000
snapshot_prefix: "/data/output/rehearsed" solver_mode: CPU
"""
SLOW_NET = NET.replace("dim: 4", "dim: 128")
"""Each iteration takes some ten milliseconds: the engine's own command is given before the last."""
SLOW_SOLVER = SOLVER.replace("/data/net", "/data/slow_net")
ROOT = LocalFacts()
FORGETFUL = """
import os
os.execvp("caffe", ["caffe", "train", "--solver=/data/slow.prototxt"])
"""
"""A main file as people write it: real Caffe trains, nothing minds SIGTERM or old snapshots."""

CODE = {
    "silent.prototxt": SOLVER.replace("display: 1000", "display: 0"),
    "net.prototxt": NET,
    "solver.prototxt": SOLVER,
    "slow_net.prototxt": SLOW_NET,
    "slow.prototxt": SLOW_SOLVER,
    "forgetful.py": FORGETFUL,
    "broken.py": "raise SystemExit(9)\n",
}


@pytest.fixture(scope="module")
def engine(
    docker_engine: RunningDocker, caffe_base: BuiltBase, tmp_path_factory: pytest.TempPathFactory
) -> Engine:
    """Docker with the job packed onto real Caffe: launcher, stock train.py and all."""
    folder = tmp_path_factory.mktemp("rehearsed")
    (folder / "code").mkdir()
    for name, text in CODE.items():
        (folder / "code" / name).write_text(text)
    words = ["--image=rehearsed", "--solver=/data/solver.prototxt", "--no-check"]
    words += [f"--base-cpu={caffe_base.name}", f"--base-gpu={caffe_base.name}"]
    packed = subprocess.run(
        [sys.executable, "-m", "uaitrain", "pack", *words],
        cwd=folder,
        env=os.environ
        | {"UAITRAIN_CACHE": str(caffe_base.cache), "DOCKER_HOST": docker_engine.host},
        capture_output=True,
        text=True,
        check=False,
    )
    assert packed.returncode == 0, packed.stderr
    return docker_engine.engine


@pytest.fixture
def spec(tmp_path: Path) -> TrainSpec:
    (tmp_path / "input").mkdir()
    return TrainSpec(
        framework=Framework("caffe", "1.0.0"),
        code=tmp_path,
        main_file="train.py",
        data=tmp_path / "input",
        output=tmp_path / "results",
        target=Target("", "", "rehearsed", "uaitrain"),
        solver="/data/slow.prototxt",
    )


def rehearsed(spec: TrainSpec, engine: Engine, iterations: int = 120) -> Rehearsal:
    told: list[Claim] = []
    with prepared(spec, CPU, engine, ROOT, iterations) as (job, output):
        done = rehearse(Attempts(job, output, engine, ROOT, NoView()), told.append)

    assert tuple(told) == done.claims
    assert sorted(path.name for path in spec.output.parent.iterdir()) == ["input"]
    return done


def test_the_stock_entry_loses_nothing(engine: Engine, spec: TrainSpec) -> None:
    done = rehearsed(spec, engine)

    assert [str(claim) for claim in done.failed] == []
    assert done.error() is None
    first, killed, last, again = done.attempts
    assert (first.exit_code, killed.exit_code, last.exit_code, again.exit_code) == (143, 137, 0, 0)
    assert killed.first == killed.begins_at == first.saved
    assert killed.caught is not None
    assert last.first == last.begins_at == killed.saved == first.saved
    assert (last.last, last.saved, last.max_iter) == (120, 120, 120)
    assert again.first is None


def test_a_main_file_that_forgets_is_found_out(engine: Engine, spec: TrainSpec) -> None:
    done = rehearsed(replace(spec, main_file="forgetful.py"), engine)

    assert done.attempts[0].saved > 0
    failed = [claim for claim in done.failed if claim.name != "stopped"]
    assert [claim.name for claim in failed] == ["went on", "went on", "history", "none taken"]
    assert "the training started again at 0" in failed[0].text
    error = done.error()
    assert error is not None
    assert error.exit_code == 11
    assert f"{len(done.failed)} of 8 claims not proven: start " in error.what


def test_a_main_file_that_fails_is_not_started_again(engine: Engine, spec: TrainSpec) -> None:
    done = rehearsed(replace(spec, main_file="broken.py"), engine)

    assert len(done.attempts) == 1
    (claim,) = done.claims
    assert str(claim).startswith("✗ start 1: it ended with exit code 9 before SIGTERM came; ")


def test_the_users_own_solver_is_rehearsed_as_it_is(engine: Engine, spec: TrainSpec) -> None:
    """It tells each thousandth iteration: a start goes on within a thousand."""
    done = rehearsed(replace(spec, solver="/data/solver.prototxt"), engine, iterations=0)

    assert [str(claim) for claim in done.failed] == []
    assert done.attempts[0].max_iter == 8000
    assert max(attempt.display for attempt in done.attempts) == 1000


@pytest.mark.parametrize(
    ("changes", "iterations", "message"),
    [
        ({"solver": ""}, 100, "--iterations needs the solver"),
        ({}, 9, "--iterations 9"),
        ({"solver": "/data/other.prototxt"}, 100, "has no solver /data/other.prototxt"),
        ({"solver": "/data/silent.prototxt"}, 0, "shows no iterations"),
        ({"solver": "/data/net.prototxt"}, 100, "cannot shorten /data/net.prototxt:2:1"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(
    engine: Engine, spec: TrainSpec, changes: dict[str, str], iterations: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        rehearsed(replace(spec, **changes), engine, iterations)  # type: ignore[arg-type]

    assert sorted(path.name for path in spec.output.parent.iterdir()) == ["input"]


def test_a_solver_in_the_data_folder_is_shortened_too(engine: Engine, spec: TrainSpec) -> None:
    (spec.data / "solver.prototxt").write_text(SOLVER)
    with prepared(replace(spec, solver="/data/data/solver.prototxt"), CPU, engine, ROOT, 50) as (
        job,
        _,
    ):
        (mount,) = (each for each in job.mounts if each.target == "/data/data/solver.prototxt")
        short = prototxt.read(Path(mount.source), prototxt.SOLVER).message

    assert (short.max_iter, short.snapshot, short.display) == (50, 5, 1)
    assert mount.read_only


ATTEMPT = Attempt(
    number=2,
    exit_code=0,
    seconds=1.0,
    before=Pair(Path("x_iter_40.solverstate"), Path("x_iter_40.caffemodel"), 40),
    after=Pair(Path("x_iter_100.solverstate"), Path("x_iter_100.caffemodel"), 100),
    max_iter=100,
    first=40,
    last=100,
    display=10,
    interrupted_at=None,
    caught=None,
    appeared=(60, 80, 100),
    tail=("the last line", ""),
)


@pytest.mark.parametrize(
    ("first", "proven", "word"),
    [
        (40, True, "first iteration told is 40"),
        (50, True, "first iteration told is 50"),
        (51, False, "iterations are missing"),
        (39, False, "the training went back"),
        (0, False, "the training started again at 0"),
        (None, False, "it trained nothing; its last line: the last line"),
    ],
)
def test_a_start_has_to_begin_where_the_newest_pair_is(
    first: int | None, proven: bool, word: str
) -> None:
    claim = went_on(replace(ATTEMPT, first=first), display=10, max_iter=100)

    assert claim.proven == proven
    assert word in claim.text


@pytest.mark.parametrize(
    ("changes", "proven"),
    [
        ({}, True),
        ({"last": 101}, False),
        ({"after": None}, False),
        ({"exit_code": 0}, False),
        ({"exit_code": 137}, False),
        ({"interrupted_at": None}, False),
    ],
)
def test_sigterm_is_answered_by_a_snapshot_and_143(changes: dict[str, Any], proven: bool) -> None:
    told = replace(ATTEMPT, exit_code=143, interrupted_at=70)

    assert stopped(replace(told, **changes)).proven == proven


@pytest.mark.parametrize(
    ("appeared", "proven"),
    [
        ([(20, 40), (60, 80)], True),
        ([(20, 40, 40), (60,)], True),
        ([(20,), (), (40,)], True),
        ([(20, 40), (40, 60)], False),
        ([(20, 40), (20, 60)], False),
        ([(20, 40, 30)], False),
        ([()], False),
    ],
)
def test_an_iteration_is_saved_once_over_all_starts(
    appeared: list[tuple[int, ...]], proven: bool
) -> None:
    starts = [replace(ATTEMPT, number=n, appeared=each) for n, each in enumerate(appeared, 1)]

    assert history(starts).proven == proven


@pytest.mark.parametrize(
    "changes",
    [{"exit_code": 1}, {"max_iter": 120}, {"max_iter": 0}, {"last": 101}, {"after": None}],
)
def test_the_end_has_to_be_max_iter_exactly(changes: dict[str, Any]) -> None:
    assert finished([ATTEMPT]).proven
    assert not finished([replace(ATTEMPT, **changes)]).proven


def test_a_start_after_the_final_snapshot_has_nothing_left_to_train() -> None:
    """A kill may come between the last snapshot and the end of the run."""
    killed = replace(ATTEMPT, exit_code=137)
    last = replace(ATTEMPT, before=ATTEMPT.after, max_iter=0, first=None, last=0)

    assert went_on(last, display=10, max_iter=100).proven
    assert not went_on(replace(last, exit_code=1), display=10, max_iter=100).proven
    assert not went_on(replace(last, before=None), display=10, max_iter=100).proven
    assert finished([killed, last]).proven


def test_a_snapshot_that_was_whole_before_the_kill_is_no_proof() -> None:
    killed = replace(ATTEMPT, exit_code=137, caught=Written("x_iter_60.caffemodel", 5))

    assert not killed_within(killed).proven
    assert killed_within(replace(killed, after=killed.before)).proven
    assert not killed_within(replace(killed, after=killed.before, exit_code=0)).proven
    assert not killed_within(replace(killed, after=killed.before, caught=None)).proven
