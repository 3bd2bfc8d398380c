"""Does a run on Kubernetes live and die as the manual says? Asked of a real API server.

    scripts/with-venv bench/kube_life.py [--folder DIR] [--results FILE]

API server, controllers and scheduler are real: Kubernetes 1.20.2, the newest that can be had
without a registry of binaries, built once (eight minutes) from Debian 12's source. The kubelet
is played. 1.20 knows neither the pod failure policy nor Indexed Jobs: that our submit refuses it
is the first claim, and for the others that refusal is switched off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import kube_build
import machine
from kube_control_plane import ControlPlane, running
from kube_node import Act, Node
from uaitrain.backends import Job, State, Status
from uaitrain.backends.kubernetes.backend import Kubernetes
from uaitrain.backends.kubernetes.options import judge
from uaitrain.errors import UaitrainError
from uaitrain.ship_settings import table

SECRET = "BENCH_SECRET"  # noqa: S105 the name of a variable
JOB = Job(
    image="registry.example.com/mnist@sha256:" + "3f" * 32,
    argv=("/usr/bin/python", "/data/train.py"),
    environment={"UAITRAIN_OUTPUT": "s3://results/mnist"},
    secrets=(SECRET,),
    cpus=1,
    memory_bytes=2 << 30,
    shm_bytes=1 << 26,
)
RESULTS = Path(__file__).parent / "results" / "kubernetes.json"


class Bench:
    """A cluster, and backends that talk to it."""

    def __init__(self, plane: ControlPlane, node: Node) -> None:
        self._plane, self.node = plane, node
        self.backend = self.as_("admin")

    def as_(self, context: str, **given: object) -> Kubernetes:
        values = {setting.key: setting.default for setting in table("kubernetes")}
        values |= {"kubernetes.kubeconfig": str(self._plane.kubeconfig)}
        values |= {"kubernetes.context": context}
        values |= {f"kubernetes.{word}": value for word, value in given.items()}
        return Kubernetes(judge(values))

    def submit(self, job: Job, *acts: Act, backend: Kubernetes | None = None) -> str:
        self.node.acts = list(acts)
        backend = backend or self.backend
        return backend.submit(backend.render(job))

    def status(self, handle: str) -> Status:
        return self.backend.status([handle])[handle]

    def wait(self, handle: str, holds: Callable[[Status], bool]) -> Status:
        end = time.monotonic() + 120
        while not holds(status := self.status(handle)):
            if time.monotonic() > end:
                raise AssertionError(f"for two minutes: {status}")
            time.sleep(0.1)
        return status

    def left(self, run: str) -> dict[str, int]:
        return {kind: self.node.count(kind, run) for kind in ("pod", "secret", "service")}


NOTHING = {"pod": 0, "secret": 0, "service": 0}


def an_old_server_is_refused_and_nothing_is_left(bench: Bench) -> None:
    told = _refusal(lambda: bench.submit(replace(JOB, run_id="too-old", nodes=2), Act(1, 0)))
    assert "podFailurePolicy" in told, told
    assert kube_build.VERSION in told, told
    _eventually(lambda: bench.left("too-old") == NOTHING and bench.backend.list() == ())


def refusals_come_in_the_servers_words(bench: Bench) -> None:
    job = replace(JOB, run_id="refused")
    acts = (Act(1, 0),)
    asked: tuple[tuple[Kubernetes, Job, str], ...] = (
        (bench.as_("unknown"), job, "does not take this login"),
        (bench.as_("stranger"), job, "403: jobs.batch is forbidden"),
        (bench.as_("admin", namespace="nowhere"), job, '404: namespaces "nowhere" not found'),
        (bench.backend, replace(job, image=""), "422: Job.batch"),
    )
    for backend, wanted, words in asked:
        told = _refusal(partial(bench.submit, wanted, *acts, backend=backend))
        assert words in told, told
    _eventually(lambda: bench.left("refused") == NOTHING)


def a_job_owns_what_belongs_to_it(bench: Bench) -> None:
    handle = bench.submit(replace(JOB, run_id="owner", nodes=2), Act(60, 0))
    bench.wait(handle, lambda status: status.state is State.RUNNING)
    assert bench.left("owner") == {"pod": 2, "secret": 1, "service": 1}
    bench.backend.cancel(handle)
    _eventually(lambda: bench.left("owner") == NOTHING)


def a_run_that_has_no_node_says_so(bench: Bench) -> None:
    handle = bench.submit(replace(JOB, run_id="too-large", cpus=64), Act(1, 0))
    bench.wait(handle, lambda status: status.reason == "Unschedulable")
    bench.backend.cancel(handle)


def a_killed_pod_is_replaced_and_no_line_is_lost(bench: Bench) -> None:
    handle = bench.submit(replace(JOB, run_id="killed"), Act(2, 137), Act(2, 0))
    followed = list(bench.backend.logs(handle, follow=True))
    status = bench.status(handle)
    assert (status.state, status.exit_code) == (State.SUCCEEDED, 0), status
    written = [
        line.decode().split(" ", 1)[1].rstrip("\n")
        for name, lines in bench.node.logs.items()
        if name.startswith("killed-")
        for line in lines
    ]
    assert followed == written, (followed, written)
    assert list(bench.backend.logs(handle, follow=False)) == written


def a_run_that_is_over_makes_room_for_its_next_start(bench: Bench) -> None:
    job = replace(JOB, run_id="again")
    handle = bench.submit(job, Act(1, 0))
    first = bench.wait(handle, lambda status: status.state.is_over)
    told = bench.submit(job, Act(60, 0))
    second = bench.wait(told, lambda status: status.state is State.RUNNING)
    assert second.started > first.started, (first, second)
    assert "is there already" in _refusal(lambda: bench.submit(job, Act(1, 0)))
    bench.backend.cancel(handle)


def cancel_gives_time_for_a_snapshot_and_leaves_nothing(bench: Bench) -> None:
    handle = bench.submit(replace(JOB, run_id="cancelled"), Act(60, 0))
    bench.wait(handle, lambda status: status.state is State.RUNNING)
    heard: list[str] = []
    listening = threading.Thread(
        target=lambda: heard.extend(bench.backend.logs(handle, follow=True))
    )
    listening.start()
    time.sleep(1)
    bench.backend.cancel(handle)
    assert bench.left("cancelled")["pod"] == 0
    assert bench.status(handle).state is State.UNKNOWN
    listening.join(60)
    assert heard[-1:] == ["snapshot"], heard
    _eventually(lambda: bench.left("cancelled") == NOTHING)


def the_time_limit_stops_a_run(bench: Bench) -> None:
    handle = bench.submit(replace(JOB, run_id="limited", seconds=4), Act(60, 0))
    status = bench.wait(handle, lambda status: status.state.is_over)
    assert (status.state, status.reason) == (State.STOPPED, "DeadlineExceeded"), status


def what_is_over_is_cleaned_away(bench: Bench) -> None:
    brief = bench.as_("admin", keep=1)
    handle = bench.submit(replace(JOB, run_id="brief"), Act(1, 0), backend=brief)
    bench.wait(handle, lambda status: status.state.is_over or status.state is State.UNKNOWN)
    bench.wait(handle, lambda status: status.state is State.UNKNOWN)


CLAIMS: tuple[Callable[[Bench], None], ...] = (
    refusals_come_in_the_servers_words,
    a_job_owns_what_belongs_to_it,
    a_run_that_has_no_node_says_so,
    a_killed_pod_is_replaced_and_no_line_is_lost,
    a_run_that_is_over_makes_room_for_its_next_start,
    cancel_gives_time_for_a_snapshot_and_leaves_nothing,
    the_time_limit_stops_a_run,
    what_is_over_is_cleaned_away,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".state/kubernetes"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    print("building the control plane, or finding it", file=sys.stderr)
    programs = kube_build.programs(arguments.folder.absolute())
    os.environ[SECRET] = "tell-nobody"
    rows = []
    with tempfile.TemporaryDirectory() as folder, running(programs, Path(folder)) as plane:
        node = Node(plane)
        with node.joined():
            bench = Bench(plane, node)
            rows.append(_row(an_old_server_is_refused_and_nothing_is_left, bench))
            with mock.patch.object(Kubernetes, "_check_kept", return_value=None):
                rows += [_row(claim, bench) for claim in CLAIMS]
    told = {"server": kube_build.VERSION, "machine": machine.facts({}), "claims": rows}
    arguments.results.write_text(json.dumps(told, indent=1) + "\n")
    if not all(row["holds"] for row in rows):
        raise SystemExit(1)


def _row(claim: Callable[[Bench], None], bench: Bench) -> dict[str, object]:
    began = time.monotonic()
    what = claim.__name__.replace("_", " ")
    try:
        claim(bench)
        why = ""
    except (AssertionError, UaitrainError) as error:
        why = str(error)
    print(f"{'no' if why else 'yes':<4} {what} {why}".rstrip(), flush=True)
    return {"claim": what, "holds": not why, "seconds": round(time.monotonic() - began, 1)}


def _refusal(call: Callable[[], object]) -> str:
    try:
        return f"not refused: {call()}"
    except UaitrainError as error:
        return error.what


def _eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("not within a minute")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
