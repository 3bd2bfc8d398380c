"""What a Job and its pods say of a run."""

from __future__ import annotations

from typing import Any

import pytest
from kube_jobs import CPU, NODES, RUN_ID, options
from support.kube_objects import Cluster, Pod
from uaitrain.backends import State, Status
from uaitrain.backends.kubernetes import status
from uaitrain.backends.kubernetes.manifests import render


class Run:
    """A Job in a cluster, and its pods."""

    def __init__(self, ranks: int = 0) -> None:
        self.cluster = Cluster()
        job = render(NODES if ranks else CPU, options()).made_job
        self.job = self.cluster.add("training", job)
        self.pods = [self.cluster.start_pod(RUN_ID, rank) for rank in range(ranks)]

    def pod(self) -> Pod:
        self.pods.append(self.cluster.start_pod(RUN_ID))
        return self.pods[-1]

    def over(self, condition: str, reason: str = "") -> Status:
        self.cluster.finish(RUN_ID, condition, reason)
        return self.status()

    def status(self) -> Status:
        return status.of("training/run", self.job, [pod.told for pod in self.pods])


def _end(code: int, reason: str, job_reason: str) -> Status:
    run = Run()
    pod = run.pod()
    pod.run()
    pod.end(code, reason)
    return run.over("Failed", job_reason)


@pytest.mark.parametrize(
    ("code", "reason", "job_reason", "state", "told"),
    [
        (3, "", "PodFailurePolicy", State.FAILED, "PodFailurePolicy"),
        (143, "", "BackoffLimitExceeded", State.STOPPED, "BackoffLimitExceeded"),
        (143, "", "DeadlineExceeded", State.STOPPED, "DeadlineExceeded"),
        (137, "OOMKilled", "BackoffLimitExceeded", State.FAILED, "OOMKilled"),
        (128, "ContainerCannotRun", "BackoffLimitExceeded", State.FAILED, "ContainerCannotRun"),
    ],
)
def test_an_end_that_is_no_success(
    code: int, reason: str, job_reason: str, state: State, told: str
) -> None:
    status = _end(code, reason, job_reason)

    assert (status.state, status.exit_code, status.reason) == (state, code, told)
    assert status.ended > status.started > 0


def test_a_time_limit_stops_a_run_whose_pods_are_gone() -> None:
    """The Job controller deletes them; the run has had its SIGTERM and its snapshot."""
    told = Run().over("Failed", "DeadlineExceeded")

    assert (told.state, told.exit_code) == (State.STOPPED, None)


def test_of_several_ranks_the_first_to_fail_decides() -> None:
    """The others end since they miss it, or are stopped."""
    run = Run(ranks=3)
    for pod, code in zip(run.pods, (143, 3, 137), strict=True):
        pod.end(code)

    assert run.over("Failed", "PodFailurePolicy").exit_code == 3


def test_a_run_goes_on_while_one_rank_waits() -> None:
    run = Run(ranks=2)
    run.pods[0].run()
    run.pods[1].wait("ImagePullBackOff")

    assert run.status().state is State.RUNNING
    assert run.status().reason == "ImagePullBackOff"


def test_between_two_attempts_it_is_told_what_ended_the_last() -> None:
    run = Run()
    run.pod().end(143)

    assert run.status().state is State.QUEUED
    assert run.status().reason == "Retrying after 143"


def test_a_success_after_a_kill_is_a_success() -> None:
    run = Run()
    run.pod().end(137)
    run.pod().end(0)

    assert (run.over("Complete").state, run.status().exit_code) == (State.SUCCEEDED, 0)


def test_a_queue_may_hold_a_job_back() -> None:
    run = Run()
    run.job["spec"]["suspend"] = True

    assert (run.status().state, run.status().reason) == (State.QUEUED, "Suspended")


def test_a_job_that_is_not_over_yet_is_not_called_so() -> None:
    """Servers from 1.31 on tell the verdict before the last pod has ended."""
    run = Run()
    run.pod().run()
    run.job["status"]["conditions"] = [{"type": "FailureTarget", "status": "True"}]

    assert run.status().state is State.RUNNING


@pytest.mark.parametrize("told", [{}, {"status": {}}, {"status": {"conditions": None}}])
def test_a_job_of_this_moment_has_no_status_yet(told: dict[str, Any]) -> None:
    job = {"metadata": Run().job["metadata"], "spec": {}} | told

    assert status.of("training/run", job, []) == Status("training/run", RUN_ID, State.QUEUED)
