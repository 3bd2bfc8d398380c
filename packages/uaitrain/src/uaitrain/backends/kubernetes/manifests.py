"""A job as Kubernetes objects. Nothing is looked up and nothing is sent.

The fields are those of the API's reference: https://kubernetes.io/docs/reference/kubernetes-api/
"""

from __future__ import annotations

import re
from typing import Any

from uaitrain.backends import RUN_LABEL, Job
from uaitrain.backends.kubernetes import failure_policy, volumes
from uaitrain.backends.kubernetes.options import Options
from uaitrain.backends.kubernetes.request import KubernetesRequest
from uaitrain.errors import UsageError

CONTAINER = "train"
MASTER_PORT = 29500
"""torch.distributed's own default."""

_RANK = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_RUN_ID = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")


def render(job: Job, options: Options) -> KubernetesRequest:
    """The Job, the Secret for its credentials, the Service by which several nodes find each
    other. Raises UsageError for a job that cannot be run so."""
    if not _RUN_ID.fullmatch(job.run_id):
        raise UsageError(
            f"not a run id: {job.run_id!r}",
            allowed="at most 52 lower-case letters, digits and dashes, a letter first",
        )
    if 0 < job.memory_bytes <= job.shm_bytes:
        raise UsageError(
            f"--memory of {job.memory_bytes} bytes is no more than --shm of {job.shm_bytes}",
            allowed="more memory than /dev/shm, which counts as the run's memory",
        )
    secrets = job.secrets if not options.secret else ()
    owned = [_secret(job)] if secrets else []
    if job.nodes > 1:
        owned.append(_service(job))
    return KubernetesRequest(options.namespace, _job(job, options), tuple(owned), secrets)


def _job(job: Job, options: Options) -> dict[str, Any]:
    labels = {RUN_LABEL: job.run_id, **options.labels}
    metadata: dict[str, Any] = {"name": job.run_id, "labels": labels}
    pod_metadata: dict[str, Any] = {"labels": labels}
    if options.annotations:
        metadata["annotations"] = dict(options.annotations)
        pod_metadata["annotations"] = dict(options.annotations)
    spec: dict[str, Any] = {"completions": job.nodes, "parallelism": job.nodes}
    if job.nodes > 1:
        spec["completionMode"] = "Indexed"
    spec["backoffLimit"] = options.retries
    if job.seconds:
        spec["activeDeadlineSeconds"] = job.seconds
    if options.keep:
        spec["ttlSecondsAfterFinished"] = options.keep
    spec["podFailurePolicy"] = failure_policy.rules(CONTAINER)
    spec["template"] = {"metadata": pod_metadata, "spec": _pod(job, options)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod(job: Job, options: Options) -> dict[str, Any]:
    planned = volumes.plan(job)
    spec: dict[str, Any] = {"restartPolicy": "Never"}
    if job.nodes > 1:
        spec["subdomain"] = job.run_id
    spec |= {
        "terminationGracePeriodSeconds": options.grace,
        # A run asks the cluster for nothing, and needs no list of its services.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    if options.service_account:
        spec["serviceAccountName"] = options.service_account
    if options.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.pull_secrets]
    if options.priority_class:
        spec["priorityClassName"] = options.priority_class
    if options.runtime_class:
        spec["runtimeClassName"] = options.runtime_class
    if options.node_selector:
        spec["nodeSelector"] = dict(options.node_selector)
    if options.tolerations:
        spec["tolerations"] = [each.to_json() for each in options.tolerations]
    spec["securityContext"] = _pod_security(job, options)
    spec["containers"] = [_container(job, options, planned)]
    if planned.volumes:
        spec["volumes"] = list(planned.volumes)
    return spec


def _pod_security(job: Job, options: Options) -> dict[str, Any]:
    user, group = options.user or _user_of(job) or options.caller
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        # Volumes become writable for the group, the staged data's folder too.
        "fsGroup": group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _user_of(job: Job) -> tuple[int, int] | None:
    """The job's own user, where it is given in numbers and is not root."""
    match = re.fullmatch(r"([1-9][0-9]*):([1-9][0-9]*)", job.user)
    return (int(match[1]), int(match[2])) if match else None


def _container(job: Job, options: Options, planned: volumes.Volumes) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": job.image,
        # Arguments of the image's own entry point, the launcher.
        "args": [_literal(word) for word in job.argv],
        "env": _environment(job, options),
    }
    if resources := _resources(job, options):
        container["resources"] = {"requests": resources, "limits": resources}
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    if planned.mounts:
        container["volumeMounts"] = list(planned.mounts)
    return container


def _environment(job: Job, options: Options) -> list[dict[str, Any]]:
    told = {**job.environment, "UAITRAIN_RUN_ID": job.run_id, "UAITRAIN_NODES": str(job.nodes)}
    if job.nodes > 1:
        # Pods of an Indexed Job are called NAME-INDEX, and the Service gives them addresses.
        told["UAITRAIN_MASTER"] = f"{job.run_id}-0.{job.run_id}:{MASTER_PORT}"
    entries: list[dict[str, Any]] = [
        {"name": name, "value": _literal(value)} for name, value in sorted(told.items())
    ]
    if job.nodes > 1:
        source = {"fieldRef": {"fieldPath": _RANK}}
        entries.append({"name": "UAITRAIN_RANK", "valueFrom": source})
    secret = options.secret or job.run_id
    for name in job.secrets:
        kept = {"secretKeyRef": {"name": secret, "key": name}}
        entries.append({"name": name, "valueFrom": kept})
    return entries


def _literal(text: str) -> str:
    """``text`` as it comes out of Kubernetes' expansion of ``$(NAME)``."""
    return text.replace("$", "$$")


def _resources(job: Job, options: Options) -> dict[str, str]:
    resources = {}
    if job.cpus:
        resources["cpu"] = str(job.cpus)
    if job.memory_bytes:
        resources["memory"] = str(job.memory_bytes)
    if job.gpus:
        resources[options.gpu] = str(job.gpus)
    return resources


def _metadata(job: Job) -> dict[str, Any]:
    return {"name": job.run_id, "labels": {RUN_LABEL: job.run_id}}


def _secret(job: Job) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _metadata(job), "type": "Opaque"}


def _service(job: Job) -> dict[str, Any]:
    spec = {
        "clusterIP": "None",
        # A rank looks for the first one while that is still starting.
        "publishNotReadyAddresses": True,
        "selector": {RUN_LABEL: job.run_id},
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(job), "spec": spec}
