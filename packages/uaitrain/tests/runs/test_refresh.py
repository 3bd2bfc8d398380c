"""What becomes of the list when backends answer, are slow, are dead, or have forgotten a run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.runs import LOG, Scripted, a_run, dead_process, running
from uaitrain.backends import Backend, State, Status
from uaitrain.errors import BackendError, UaitrainError
from uaitrain.runs import told
from uaitrain.runs.cancelling import cancel
from uaitrain.runs.following import follow
from uaitrain.runs.refresh import Connect, options_of, refresh
from uaitrain.runs.run import SUBMITTING
from uaitrain.runs.store import Store
from uaitrain.runs.submission import send
from uaitrain.runs.submitter import may_still_send, this_process

LONG = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs.sqlite")


def _connecting(**known: Backend) -> Connect:
    def connect(name: str, options: Mapping[str, Any]) -> Backend:
        return known[name]

    return connect


def _status(handle: str, state: State, code: int | None = None) -> Status:
    return Status(handle, handle.partition("/")[2], state, code)


def test_states_and_values_are_learnt_and_kept(store: Store) -> None:
    run = running()
    store.add(run)
    scripted = Scripted({run.handle: _status(run.handle, State.SUCCEEDED, 0)}, log=LOG)
    (now,) = refresh(store, [run], LONG, _connecting(local=scripted)).runs

    assert (now.state, now.exit_code) == ("succeeded", 0)
    assert (now.iteration, now.max_iter, now.loss, now.accuracy) == (200, 400, 0.5, 0.75)
    assert store.get(run.run_id) == now
    refresh(store, [now], LONG, _connecting(local=scripted))
    assert scripted.asked == [(run.handle,)]


def test_a_dead_cluster_does_not_hang_the_list(store: Store) -> None:
    alive, silent, refused = (
        running("mnist-1"),
        running("mnist-2", backend="slurm", iteration=7),
        running("mnist-3", backend="kubernetes"),
    )
    for run in (alive, silent, refused):
        store.add(run)
    never = threading.Event()
    connect = _connecting(
        local=Scripted({alive.handle: _status(alive.handle, State.RUNNING)}, log=LOG),
        slurm=Scripted(silent=never),
        kubernetes=Scripted(error=BackendError("no route to the cluster")),
    )
    try:
        found = refresh(store, [alive, silent, refused], 1.0, connect)
    finally:
        never.set()

    assert found.unheard == {"mnist-2", "mnist-3"}
    assert found.reasons == {
        "slurm": "did not answer within 1 s",
        "kubernetes": "no route to the cluster",
    }
    assert [run.iteration for run in found.runs] == [200, 7, None]
    assert found.runs[1] == silent


def test_an_answer_counts_although_the_values_take_too_long(store: Store) -> None:
    never = threading.Event()

    class SlowLog(Scripted):
        def logs(self, handle: str, *, follow: bool) -> Any:
            never.wait()
            return iter(())

    run = running(state=str(State.QUEUED))
    store.add(run)
    slow = SlowLog({run.handle: _status(run.handle, State.RUNNING)})
    try:
        found = refresh(store, [run], 1.0, _connecting(local=slow))
    finally:
        never.set()

    assert found.unheard == frozenset()
    assert found.runs[0].state == "running"


def test_a_bug_in_a_backend_is_told_as_one(store: Store) -> None:
    class Broken(Scripted):
        def _answer(self) -> None:
            raise KeyError("metadata")

    store.add(running())
    with pytest.raises(KeyError):
        refresh(store, store.all(), LONG, _connecting(local=Broken()))


def test_a_run_whose_submitter_died_after_sending_is_adopted(store: Store) -> None:
    run = a_run(submitter=dead_process())
    store.add(run)
    listed = (
        Status(f"docker/{run.run_id}", run.run_id, State.RUNNING),
        Status(f"docker/older-{run.run_id}", run.run_id, State.STOPPED, 143),
    )
    (now,) = refresh(store, [run], LONG, _connecting(local=Scripted(listed=listed))).runs

    assert (now.state, now.handle) == ("running", f"docker/{run.run_id}")


def test_a_run_whose_submitter_died_before_sending_has_failed(store: Store) -> None:
    run = a_run(submitter=dead_process())
    store.add(run)
    (now,) = refresh(store, [run], LONG, _connecting(local=Scripted())).runs

    assert (now.state, now.reason) == ("failed", "it was never sent")


def test_a_run_that_is_being_sent_is_left_alone(store: Store) -> None:
    run = a_run(submitter=this_process())
    store.add(run)
    found = refresh(store, [run], LONG, _connecting(local=Scripted()))

    assert found.runs[0].state == SUBMITTING
    assert found.unheard == frozenset()


def test_who_may_still_be_sending() -> None:
    mine = this_process()
    other = f"elsewhere/{os.getpid()}/1"

    assert may_still_send(mine, 0.0, 1e9)
    assert not may_still_send(mine.rpartition("/")[0] + "/1", 0.0, 1.0)
    assert may_still_send(other, 0.0, 3599.0)
    assert not may_still_send(other, 0.0, 3601.0)


@pytest.mark.parametrize(
    ("code", "state"), [(0, "succeeded"), (143, "stopped"), (6, "failed"), (None, "unknown")]
)
def test_what_the_backend_forgot_is_known_from_the_marker(
    store: Store, tmp_path: Path, code: int | None, state: str
) -> None:
    run = running(output=str(tmp_path))
    store.add(run)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / f"{run.run_id}.0.log").write_text(LOG)
    (tmp_path / ".uaitrain").mkdir()
    if code is not None:
        kind = "json" if code else "complete"
        marker = tmp_path / ".uaitrain" / f"{run.run_id}.0.{kind}"
        marker.write_text(json.dumps({"exit_code": code}))
    (now,) = refresh(store, [run], LONG, _connecting(local=Scripted())).runs

    assert (now.state, now.exit_code) == (state, code)
    assert now.iteration == 200
    assert now.reason == ("" if code is not None else "local does not know it any more")


def test_a_log_of_any_length_is_read_at_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first, *rest = LOG.splitlines(keepends=True)
    path.write_text(first + "a line that says nothing\n" * 200_000 + "".join(rest))

    assert told.values_from_file(path) == told.values_from(LOG.splitlines())
    path.write_text(LOG)
    assert told.values_from_file(path).iteration == 200


def test_options_are_completed_when_an_update_brought_new_ones() -> None:
    run = a_run(options={"local.engine": "podman", "local.gone": "x"})

    assert options_of(run) == {"local.engine": "podman", "local.network": ""}


def test_who_follows_is_told_of_a_log_that_cannot_be_read(store: Store) -> None:
    class NoLog(Scripted):
        def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
            raise BackendError("no log")

    run = running()
    store.add(run)
    place = NoLog({run.handle: _status(run.handle, State.RUNNING)})
    with pytest.raises(BackendError, match="no log"):
        follow(store, run, print, _connecting(local=place))
    place.statuses = {run.handle: _status(run.handle, State.STOPPED, 143)}

    assert follow(store, run, print, _connecting(local=place)).state == "stopped"


def test_lines_are_shown_once_when_a_backend_starts_a_run_again(store: Store) -> None:
    class Restarted(Scripted):
        def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
            first, *more = LOG.splitlines()
            yield first
            if self.asked:
                yield from more
                self.statuses = {handle: _status(handle, State.SUCCEEDED, 0)}

    run = running()
    store.add(run)
    shown: list[str] = []
    place = Restarted({run.handle: _status(run.handle, State.QUEUED)})
    ended = follow(store, run, shown.append, _connecting(local=place))

    assert shown == LOG.splitlines()
    assert (ended.state, ended.iteration, ended.loss) == ("succeeded", 200, 0.5)


REFUSED = BackendError("the cluster said no")


class _Failing(Scripted):
    def submit(self, request: Any) -> str:
        raise REFUSED


def test_what_a_backend_refuses_is_not_in_the_list(store: Store) -> None:
    with pytest.raises(BackendError, match="said no"):
        send(store, _Failing(), None, a_run(), again=False)  # type: ignore[arg-type] # no request

    assert store.all() == ()


def test_what_a_backend_has_although_it_failed_is_in_the_list(store: Store) -> None:
    run = a_run()
    listed = (Status("there/7", run.run_id, State.RUNNING),)
    with pytest.raises(BackendError):
        send(store, _Failing(listed=listed), None, run, again=False)  # type: ignore[arg-type] # none

    assert [(r.state, r.handle) for r in store.all()] == [("running", "there/7")]


def test_what_a_backend_may_have_stays_until_it_can_be_asked(store: Store) -> None:
    class Gone(_Failing):
        def list(self) -> tuple[Status, ...]:
            raise BackendError("no route")

    run = a_run(submitter=dead_process())
    with pytest.raises(BackendError, match="said no"):
        send(store, Gone(), None, run, again=False)  # type: ignore[arg-type] # no request
    assert [(r.state, r.reason) for r in store.all()] == [(SUBMITTING, "the cluster said no")]
    (now,) = refresh(store, store.all(), LONG, _connecting(local=Scripted())).runs

    assert (now.state, now.reason) == ("failed", "it was never sent: the cluster said no")


def test_a_start_that_fails_leaves_the_run_as_it_was(store: Store) -> None:
    run = running(state=str(State.STOPPED), exit_code=143, reason="preempted")
    store.add(run)
    with pytest.raises(BackendError):
        send(store, _Failing(), None, run, again=True)  # type: ignore[arg-type] # no request
    now = store.get(run.run_id)

    assert now is not None
    assert (now.state, now.exit_code, now.handle, now.reason) == (
        *("stopped", 143, run.handle, "preempted"),
    )


def test_a_run_that_is_still_there_after_its_cancel_is_told(store: Store) -> None:
    run = running()
    store.add(run)
    stubborn = Scripted({run.handle: _status(run.handle, State.RUNNING)})
    with pytest.raises(UaitrainError, match="is still running"):
        cancel(store, run, _connecting(local=stubborn))
    now = store.get(run.run_id)

    assert now is not None
    assert now.state == "running"


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        (State.SUCCEEDED, 0, "succeeded"),
        (State.FAILED, 6, "failed"),
        (State.FAILED, 137, "cancelled"),
        (State.STOPPED, 143, "cancelled"),
        (State.UNKNOWN, None, "cancelled"),
    ],
)
def test_a_run_that_ended_by_itself_is_not_called_cancelled(
    store: Store, status: State, code: int | None, state: str
) -> None:
    run = running()
    store.add(run)
    scripted = Scripted({run.handle: _status(run.handle, status, code)})
    now = cancel(store, run, _connecting(local=scripted))

    assert (now.state, now.exit_code) == (state, code)
