"""What a Kubernetes cluster holds, for ``kube_server``: a stand-in, since no cluster runs here.

The shapes are those that a kube-apiserver gave for jobs of ours. What controllers, scheduler and
kubelet would do by themselves, a test says: a pod runs, writes, ends, a Job is over.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import Any

INDEX = "batch.kubernetes.io/job-completion-index"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass
class Pod:
    """One attempt of one rank. ``log`` are its lines with their times, as the server gives them;
    ``stop_seconds`` is what the container takes to end after SIGTERM."""

    told: dict[str, Any]
    log: list[bytes] = field(default_factory=list)
    stop_seconds: float = 0.0
    ticks: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def name(self) -> str:
        return str(self.told["metadata"]["name"])

    @property
    def has_ended(self) -> bool:
        return self.told["status"]["phase"] in ("Succeeded", "Failed")

    def _container(self, state: dict[str, Any]) -> None:
        self.told["status"]["containerStatuses"] = [
            {"name": "train", "state": state, "ready": "running" in state, "restartCount": 0}
        ]

    def schedule_fails(self, reason: str = "Unschedulable") -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": reason}
        self.told["status"] = {"phase": "Pending", "conditions": [condition]}

    def wait(self, reason: str) -> None:
        self._container({"waiting": {"reason": reason}})

    def run(self) -> None:
        self.told["status"]["phase"] = "Running"
        self._container({"running": {"startedAt": _now()}})

    def write(self, *lines: str, end: str = "\n", moment: int | None = None) -> None:
        """``moment`` is the nanosecond of the line; several lines may share one."""
        for line in lines:
            tick = next(self.ticks) if moment is None else moment
            # The server leaves trailing zeros away.
            stamp = f"2026-11-24T19:15:00.{tick:09}".rstrip("0")
            self.log.append(f"{stamp}Z {line}{end}".encode())

    def end(self, code: int, reason: str = "") -> None:
        self.told["status"]["phase"] = "Failed" if code else "Succeeded"
        reason = reason or ("Error" if code else "Completed")
        # One moment later each, so that who was first can be told.
        at = f"2026-11-24T19:{15 + next(self.ticks) // 60:02}:{next(self.ticks) % 60:02}Z"
        self._container({"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}})


class Cluster:
    """Objects by kind and namespace. Hold ``lock`` to look at several at once."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.namespaces = {"default", "training"}
        self.objects: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self.pods: dict[str, Pod] = {}
        self._numbers = itertools.count(1)

    def of(self, kind: str, namespace: str = "training") -> dict[str, dict[str, Any]]:
        return self.objects.setdefault((kind, namespace), {})

    def add(self, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        made = manifest | {
            "metadata": manifest["metadata"]
            | {
                "namespace": namespace,
                "uid": f"00000000-0000-4000-8000-{number:012}",
                "resourceVersion": str(number),
                "creationTimestamp": f"2026-11-24T19:15:{number % 60:02}Z",
            }
        }
        if made["kind"] == "Job":
            made["status"] = {"startTime": made["metadata"]["creationTimestamp"]}
            made["spec"] = {"completionMode": "NonIndexed"} | made["spec"]
        self.of(made["kind"], namespace)[made["metadata"]["name"]] = made
        return made

    def start_pod(self, run_id: str, rank: int | None = None, namespace: str = "training") -> Pod:
        """What the Job controller does for a Job, and after a pod that it replaces."""
        job = self.of("Job", namespace)[run_id]
        number = next(self._numbers)
        template = job["spec"]["template"]
        metadata = {
            "name": f"{run_id}-{'' if rank is None else f'{rank}-'}{number:05}",
            "namespace": namespace,
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {} if rank is None else {INDEX: str(rank)},
            "creationTimestamp": f"2026-11-24T19:16:{number % 60:02}Z",
        }
        pod = Pod({"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}})
        with self.lock:
            self.pods[pod.name] = pod
        return pod

    def finish(self, run_id: str, condition: str, reason: str = "") -> None:
        """The Job is over: ``Complete`` or ``Failed``."""
        with self.lock:
            told = {"type": condition, "status": "True", "lastTransitionTime": _now()}
            status = self.of("Job")[run_id]["status"]
            status["conditions"] = [told | ({"reason": reason} if reason else {})]
            if condition == "Complete":
                status["completionTime"] = _now()

    def delete_job(self, namespace: str, name: str) -> None:
        """In the foreground: pods get SIGTERM, and when all are gone the Job goes, too."""
        job = self.of("Job", namespace)[name]
        job["metadata"] |= {"deletionTimestamp": _now(), "finalizers": ["foregroundDeletion"]}
        pods = [pod for pod in self.pods.values() if pod.name.startswith(name)]
        slowest = max((0.0 if p.has_ended else p.stop_seconds for p in pods), default=0.0)
        threading.Timer(slowest, self._gone, (namespace, name, pods)).start()

    def _gone(self, namespace: str, name: str, pods: list[Pod]) -> None:
        with self.lock:
            for pod in pods:
                self.pods.pop(pod.name, None)
            job = self.of("Job", namespace).pop(name, None)
            uid = job and job["metadata"]["uid"]
            for (kind, where), objects in self.objects.items():
                owned = [
                    name
                    for name, each in objects.items()
                    if any(o["uid"] == uid for o in each["metadata"].get("ownerReferences", ()))
                ]
                if where == namespace and kind != "Job":
                    for each in owned:
                        del objects[each]
