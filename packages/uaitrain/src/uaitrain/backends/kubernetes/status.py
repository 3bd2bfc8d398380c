"""What a Job and its pods, as the API server tells them, say of a run. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from uaitrain.backends import RUN_LABEL, State, Status
from uaitrain.backends.kubernetes.failure_policy import PERMANENT
from uaitrain.backends.kubernetes.manifests import CONTAINER
from uaitrain.errors import EXIT_TERMINATED
from uaitrain.values import dataclass

_INDEX = "batch.kubernetes.io/job-completion-index"
_OVER_TIME = "DeadlineExceeded"
_PLAIN_ENDS = ("", "Completed", "Error")


@dataclass(frozen=True)
class End:
    """How the container of a pod ended; ``at`` is the server's text of the time."""

    exit_code: int
    reason: str
    at: str


def of(handle: str, job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Status:
    """The run whose Job is ``job``; ``pods`` are its pods, also those that ended."""
    told = job.get("status") or {}
    conditions = {
        each["type"]: each for each in told.get("conditions") or () if each["status"] == "True"
    }
    end = _decisive(pods)
    started = _seconds(told.get("startTime"))
    run_id = job["metadata"]["labels"][RUN_LABEL]

    def status(state: State, reason: str = "", ended: float = 0.0) -> Status:
        code = 0 if state is State.SUCCEEDED else end.exit_code if end and ended else None
        return Status(handle, run_id, state, code, reason, started, ended)

    if "Complete" in conditions:
        ended = _seconds(told.get("completionTime")) or _since(conditions["Complete"])
        return status(State.SUCCEEDED, "", ended)
    if "Failed" in conditions:
        failed = conditions["Failed"]
        why = failed.get("reason", "")
        stopped = why == _OVER_TIME or (end is not None and end.exit_code == EXIT_TERMINATED)
        reason = end.reason if end and end.reason not in _PLAIN_ENDS else why
        return status(State.STOPPED if stopped else State.FAILED, reason, _since(failed))
    waits = next((reason for pod in pods if (reason := waiting_reason(pod))), "")
    if job["metadata"].get("deletionTimestamp"):
        # Its pods still write their snapshots.
        return status(State.RUNNING, "Terminating")
    if any(is_running(pod) for pod in pods):
        return status(State.RUNNING, waits)
    if (job.get("spec") or {}).get("suspend"):
        return status(State.QUEUED, "Suspended")
    if not waits and end and end.exit_code:
        # Between two attempts: what ended the last one.
        waits = end.reason if end.reason not in _PLAIN_ENDS else f"Retrying after {end.exit_code}"
    return status(State.QUEUED, waits)


def rank_of(pod: Mapping[str, Any]) -> int | None:
    """Of a pod of an Indexed Job, which is a run on several nodes; else None."""
    index = (pod["metadata"].get("annotations") or {}).get(_INDEX)
    return None if index is None else int(index)


def is_running(pod: Mapping[str, Any]) -> bool:
    return any("running" in state for state in _container_states(pod))


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Nothing will be added to its log any more."""
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return over or any("terminated" in state for state in _container_states(pod))


def waiting_reason(pod: Mapping[str, Any]) -> str:
    """Why a pod does not run yet, in Kubernetes' word, or empty."""
    told = pod.get("status") or {}
    if told.get("phase") not in ("Pending", None):
        return ""
    for state in _container_states(pod):
        if "waiting" in state:
            return str(state["waiting"].get("reason", ""))
    for condition in told.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("reason", ""))
    return ""


def end_of(pod: Mapping[str, Any]) -> End | None:
    for state in _container_states(pod):
        if "terminated" in state:
            told = state["terminated"]
            return End(int(told["exitCode"]), told.get("reason", ""), told.get("finishedAt", ""))
    return None


def _decisive(pods: Iterable[Mapping[str, Any]]) -> End | None:
    """The end that decided the run: the first permanent failure, since the other ranks only
    follow it, else the last end of all."""
    ends = sorted((end for pod in pods if (end := end_of(pod))), key=lambda end: end.at)
    permanent = (end for end in ends if end.exit_code in PERMANENT)
    return next(permanent, ends[-1] if ends else None)


def _container_states(pod: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The state of the run's container; empty while the pod has no node."""
    told = (pod.get("status") or {}).get("containerStatuses") or ()
    return tuple(each.get("state") or {} for each in told if each["name"] == CONTAINER)


def _since(condition: Mapping[str, Any]) -> float:
    return _seconds(condition.get("lastTransitionTime"))


def _seconds(text: str | None) -> float:
    """Unix seconds of the server's time, 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0
