"""Every line once, over attempts, ranks and lost connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kube_jobs import CPU, NODES, RUN_ID
from support.kube_objects import Pod
from support.kube_server import Server
from uaitrain.backends.kubernetes import logs
from uaitrain.backends.kubernetes.backend import Kubernetes
from uaitrain.backends.kubernetes.log_lines import Lines
from uaitrain.errors import BackendError

HANDLE = f"training/{RUN_ID}"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, so that the tests do not wait for looks."""
    monkeypatch.setattr(logs.follow, "__defaults__", (0.02,))


@pytest.fixture
def pod(backend: Kubernetes, kube: Server) -> Pod:
    """Of a submitted run."""
    backend.submit(backend.render(CPU))
    return kube.cluster.start_pod(RUN_ID)


class Listener:
    """Follows a run in a thread of its own."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.heard: list[str] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._listen, args=(lines,), daemon=True)
        self._thread.start()

    def _listen(self, lines: Iterator[str]) -> None:
        try:
            for line in lines:
                self.heard.append(line)
        except BackendError as error:
            self.error = error

    def wait_for(self, holds: Callable[[list[str]], bool]) -> None:
        end = time.monotonic() + 60
        while not holds(self.heard):
            assert time.monotonic() < end, self.heard
            time.sleep(0.01)

    def all(self) -> list[str]:
        self._thread.join(60)
        assert not self._thread.is_alive(), self.heard
        return self.heard


def _follow(backend: Kubernetes) -> Listener:
    return Listener(backend.logs(HANDLE, follow=True))


def test_what_is_there_is_read(backend: Kubernetes, kube: Server, pod: Pod) -> None:
    pod.run()
    pod.write("first", "", "third 漢字 ")

    assert list(backend.logs(HANDLE, follow=False)) == ["first", "", "third 漢字 "]


def test_a_last_line_without_its_end_is_a_line(backend: Kubernetes, pod: Pod) -> None:
    pod.run()
    pod.write("first")
    pod.write("Killed", end="")
    pod.end(137)

    assert list(backend.logs(HANDLE, follow=False)) == ["first", "Killed"]


def test_a_run_that_has_not_begun_has_no_lines(backend: Kubernetes, kube: Server, pod: Pod) -> None:
    assert list(backend.logs(HANDLE, follow=False)) == []


def test_the_log_of_an_unknown_run_is_refused(backend: Kubernetes) -> None:
    with pytest.raises(BackendError, match="has no run training/never-was"):
        backend.logs("training/never-was", follow=True)


def test_lines_are_heard_while_the_run_goes_on(backend: Kubernetes, kube: Server, pod: Pod) -> None:
    heard = _follow(backend)
    pod.run()
    pod.write("first")
    heard.wait_for(lambda lines: lines == ["first"])
    pod.write("second")
    heard.wait_for(lambda lines: lines == ["first", "second"])
    pod.write("last")
    pod.end(0)
    kube.cluster.finish(RUN_ID, "Complete")

    assert heard.all() == ["first", "second", "last"]


def test_attempts_are_told_one_after_the_other(backend: Kubernetes, kube: Server, pod: Pod) -> None:
    pod.run()
    pod.write("attempt 1")
    pod.end(137)
    heard = _follow(backend)
    heard.wait_for(lambda lines: len(lines) == 1)
    again = kube.cluster.start_pod(RUN_ID)
    again.run()
    again.write("attempt 2")
    heard.wait_for(lambda lines: len(lines) == 2)
    again.end(0)
    kube.cluster.finish(RUN_ID, "Complete")

    assert heard.all() == ["attempt 1", "attempt 2"]


def test_ranks_are_told_apart(backend: Kubernetes, kube: Server) -> None:
    backend.submit(backend.render(replace(NODES, nodes=2)))
    ranks = [kube.cluster.start_pod(RUN_ID, rank) for rank in range(2)]
    heard = _follow(backend)
    for rank, each in enumerate(ranks):
        each.run()
        each.write(*(f"{rank}.{number}" for number in range(50)))
    heard.wait_for(lambda lines: len(lines) == 100)
    for each in ranks:
        each.end(0)
    kube.cluster.finish(RUN_ID, "Complete")
    lines = heard.all()

    for rank in range(2):
        mine = [line for line in lines if line.startswith(f"[{rank}] ")]
        assert mine == [f"[{rank}] {rank}.{number}" for number in range(50)]
    assert sorted(lines) == sorted(backend.logs(HANDLE, follow=False))


def test_lost_connections_cost_no_line_and_repeat_none(
    backend: Kubernetes, kube: Server, pod: Pod
) -> None:
    """Cut off in the middle of a line, again and again; some lines share a moment."""
    kube.break_after = [0, 1, 1, 4, 9, 30]
    pod.run()
    for number in range(40):
        pod.write(f"line {number}", moment=1000 + number // 3)
    heard = _follow(backend)
    heard.wait_for(lambda lines: len(lines) >= 40)
    pod.write("last", moment=5000)
    pod.end(0)
    kube.cluster.finish(RUN_ID, "Complete")

    assert heard.all() == [*(f"line {number}" for number in range(40)), "last"]
    assert kube.break_after == []


def test_a_connection_that_is_lost_at_the_very_end_loses_no_tail(
    backend: Kubernetes, kube: Server, pod: Pod
) -> None:
    pod.run()
    pod.write("first", "second", "last")
    pod.end(1)
    kube.cluster.finish(RUN_ID, "Failed", "PodFailurePolicy")
    kube.break_after = [1, 2]

    assert _follow(backend).all() == ["first", "second", "last"]


def test_a_server_that_is_away_for_a_while_is_waited_for(
    backend: Kubernetes, kube: Server, pod: Pod
) -> None:
    pod.run()
    pod.write("first")
    heard = _follow(backend)
    heard.wait_for(lambda lines: lines == ["first"])
    # More than the client tries by itself.
    kube.lose_answer += ["GET Pod", "GET Job"] * 6
    heard.wait_for(lambda _: not kube.lose_answer)
    pod.write("last")
    pod.end(0)
    kube.cluster.finish(RUN_ID, "Complete")

    assert heard.all() == ["first", "last"]


def test_a_server_that_stays_away_ends_it(
    backend: Kubernetes, kube: Server, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_TRIES", 3)
    pod.run()
    pod.write("first")
    heard = _follow(backend)
    heard.wait_for(lambda lines: lines == ["first"])
    kube.lose_answer += ["GET Pod", "GET Job"] * 20
    heard.all()

    assert "cannot reach" in str(heard.error)


def test_a_refusal_ends_it(backend: Kubernetes, kube: Server, pod: Pod) -> None:
    kube.refusals["GET Pod log"] = (403, "no logs for you")
    pod.run()
    heard = _follow(backend)
    heard.all()

    assert "no logs for you" in str(heard.error)


def test_it_ends_when_the_run_is_cancelled(backend: Kubernetes, kube: Server, pod: Pod) -> None:
    pod.run()
    pod.write("first")
    heard = _follow(backend)
    heard.wait_for(lambda lines: lines == ["first"])
    backend.cancel(HANDLE)

    assert heard.all() == ["first"]


def test_who_stops_listening_leaves_no_thread(backend: Kubernetes, kube: Server, pod: Pod) -> None:
    before = set(threading.enumerate())
    pod.run()
    pod.write("first", "second")
    lines = backend.logs(HANDLE, follow=True)
    assert next(lines) == "first"
    readers = {t for t in set(threading.enumerate()) - before if "_hear" in t.name}
    lines.close()  # type: ignore[attr-defined]
    pod.end(0)
    for reader in readers:
        reader.join(60)

    assert readers
    assert not any(reader.is_alive() for reader in readers)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=12),
    st.lists(st.integers(0, 400), max_size=5),
    st.integers(1, 50),
)
def test_however_a_log_is_cut_its_lines_are_given_once(
    moments: list[int], cuts: list[int], size: int
) -> None:
    """``moments`` says how many lines share each moment, ``cuts`` where readings were lost."""
    texts = [(moment, f"{moment}/{i}") for moment, n in enumerate(moments) for i in range(n)]
    log = b"".join(
        f"{f'2026-11-24T19:15:00.{moment:09}'.rstrip('0')}Z {text}\n".encode()
        for moment, text in texts
    )
    lines = Lines()
    readings = [*(log[:cut] for cut in cuts), log]
    heard = [
        line
        for reading, following in pairwise([*readings, b""])
        for line in lines.of(
            (reading[at : at + size] for at in range(0, len(reading), size)),
            whole=following == b"",
        )
    ]

    assert heard == [text for _, text in texts]
