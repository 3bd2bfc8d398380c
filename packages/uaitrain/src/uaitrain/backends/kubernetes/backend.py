"""Runs on a cluster: what a :class:`uaitrain.backends.Backend` does, through the API server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from uaitrain.backends import RUN_LABEL, Job, State, Status
from uaitrain.backends.kubernetes import logs, manifests, status
from uaitrain.backends.kubernetes.cluster import Cluster
from uaitrain.backends.kubernetes.options import Options
from uaitrain.backends.kubernetes.refusals import JobExistsError
from uaitrain.backends.kubernetes.request import KubernetesRequest, with_owner
from uaitrain.errors import BackendError, BusyError, UaitrainError, UsageError

_ASKED_AT_ONCE = 50
_LOOK_SECONDS = 1.0
_BEYOND_GRACE = 60
"""Seconds that a node may need to take a killed container away."""
OLDEST_SERVER = "1.26"
"""The first with podFailurePolicy switched on."""


class Kubernetes:
    """A handle is ``namespace/name`` of the run's Job."""

    def __init__(self, options: Options) -> None:
        self._options = options

    @cached_property
    def _cluster(self) -> Cluster:
        return Cluster(self._options)

    def render(self, job: Job) -> KubernetesRequest:
        return manifests.render(job, self._options)

    def submit(self, request: KubernetesRequest) -> str:
        """Make the Job, then what it owns; of a submit that fails nothing is left.

        A Job of the same run that is over makes room: the run goes on in a new one.
        """
        values = _values_of(request.secrets)
        namespace = request.namespace or self._cluster.namespace
        handle = f"{namespace}/{request.run_id}"
        self._make_room(handle)
        try:
            made = self._cluster.create(namespace, request.made_job)
            self._check_kept(request.job["spec"], made["spec"])
            for manifest in request.owned:
                owned = with_owner(manifest, made["metadata"]["uid"], values)
                self._cluster.create(namespace, owned)
        except JobExistsError:
            raise
        except BaseException as error:
            # Also when the answer was lost: the Job may have been made all the same.
            self._undo(handle, error)
            raise
        return handle

    def status(self, handles: Sequence[str]) -> Mapping[str, Status]:
        by_namespace: dict[str, list[str]] = {}
        for handle in handles:
            namespace, name = _parts(handle)
            by_namespace.setdefault(namespace, []).append(name)
        found: dict[str, Status] = {}
        for namespace, names in by_namespace.items():
            for start in range(0, len(names), _ASKED_AT_ONCE):
                asked = ",".join(names[start : start + _ASKED_AT_ONCE])
                runs = self._runs(namespace, f"{RUN_LABEL} in ({asked})")
                found |= {each.handle: each for each in runs}
        return {
            handle: found.get(handle, Status(handle, _parts(handle)[1], State.UNKNOWN))
            for handle in handles
        }

    def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
        run = _Run(self._cluster, *_parts(handle))
        if not run.jobs():
            raise _no_such(handle, self._cluster.host)
        return logs.follow(run) if follow else logs.read(run)

    def cancel(self, handle: str) -> None:
        """Delete the Job. Its pods get SIGTERM and the grace period that they were made with.

        A Job that is over, with all its pods, stays for who wants to know.
        """
        run = _Run(self._cluster, *_parts(handle))
        if not (run.jobs() and run.is_over() and all(status.has_ended(p) for p in run.pods())):
            self._remove(run)

    def _remove(self, run: _Run) -> None:
        """Delete a run's Job, and wait until that and its pods are gone."""
        left = run.pods()
        if not self._cluster.delete_job(run.namespace, run.name) and not left:
            raise _no_such(run.handle, self._cluster.host)
        grace = max(
            (pod["spec"].get("terminationGracePeriodSeconds", 30) for pod in left), default=0
        )
        end = time.monotonic() + grace + _BEYOND_GRACE
        while (left := run.pods()) or run.jobs():
            if time.monotonic() > end:
                raise _still_there(run.handle, left)
            time.sleep(_LOOK_SECONDS)

    def list(self) -> tuple[Status, ...]:
        return self._runs(self._cluster.namespace, RUN_LABEL)

    def _runs(self, namespace: str, selector: str) -> tuple[Status, ...]:
        jobs = self._cluster.jobs(namespace, selector)
        pods: dict[str, list[dict[str, Any]]] = {}
        for pod in self._cluster.pods(namespace, selector) if jobs else ():
            pods.setdefault(pod["metadata"]["labels"][RUN_LABEL], []).append(pod)
        jobs.sort(key=lambda job: str(job["metadata"]["creationTimestamp"]), reverse=True)
        return tuple(
            status.of(
                f"{namespace}/{job['metadata']['name']}",
                job,
                pods.get(job["metadata"]["labels"][RUN_LABEL], ()),
            )
            for job in jobs
        )

    def _make_room(self, handle: str) -> None:
        run = _Run(self._cluster, *_parts(handle))
        if not run.jobs():
            return
        if not run.is_over():
            raise BusyError(
                f"the run {handle} is there already and is not over",
                next_step="uaitrain logs --follow watches it, uaitrain cancel ends it",
            )
        self._remove(run)

    def _check_kept(self, sent: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
        """Servers leave away what they are too old for, whatever they were asked to refuse."""
        lost = [name for name in sent if name not in kept]
        if lost:
            raise BackendError(
                f"{self._cluster.host} does not know {', '.join(lost)} of a Job: it is Kubernetes "
                f"{self._cluster.version()}",
                allowed=f"Kubernetes {OLDEST_SERVER} or newer",
            )

    def _undo(self, handle: str, error: BaseException) -> None:
        """Delete what a submit made; if even that fails, say what may be left."""
        try:
            self._cluster.delete_job(*_parts(handle))
        except UaitrainError as second:
            if isinstance(error, UaitrainError):
                error.next_step = f"kubectl delete job {handle}: it may be left ({second.what})"


class _Run:
    """The objects of one run."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self.namespace, self.name = namespace, name
        self._cluster = cluster
        self._selector = f"{RUN_LABEL}={name}"

    @property
    def handle(self) -> str:
        return f"{self.namespace}/{self.name}"

    def jobs(self) -> list[dict[str, Any]]:
        return self._cluster.jobs(self.namespace, self._selector)

    def pods(self) -> list[dict[str, Any]]:
        return self._cluster.pods(self.namespace, self._selector)

    def is_over(self) -> bool:
        jobs = self.jobs()
        return not jobs or status.of(self.name, jobs[0], ()).state.is_over

    def log(self, pod: str, *, follow: bool) -> Iterator[bytes]:
        return self._cluster.log(self.namespace, pod, manifests.CONTAINER, follow=follow)


def _values_of(names: Iterable[str]) -> dict[str, str]:
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise UsageError(
            f"{', '.join(missing)}: not set here, and the run is to get it",
            next_step="export it, or name a Secret that has it by --existing-secret",
        )
    return {name: os.environ[name] for name in names}


def _parts(handle: str) -> tuple[str, str]:
    namespace, _, name = handle.partition("/")
    return namespace, name


def _no_such(handle: str, host: str) -> BackendError:
    return BackendError(
        f"{host} has no run {handle}",
        allowed="runs of this cluster that are not yet cleaned away (--keep-job)",
        next_step="kubectl config current-context shows which cluster is asked",
    )


def _still_there(handle: str, pods: Iterable[Mapping[str, Any]]) -> BackendError:
    told = [f"{pod['metadata']['name']} on {pod['spec'].get('nodeName')}" for pod in pods]
    return BackendError(
        f"{handle} was asked to end and is still there: {', '.join(told) or 'its Job'}",
        allowed="the node may be lost: then its pods stay until it is back or removed",
        next_step="kubectl describe pod, kubectl get nodes; uaitrain cancel waits once more",
    )
