"""The volumes of a pod: where data, results and shared memory come from."""

from __future__ import annotations

import re
from typing import Any

from uaitrain.backends import Job, Mount
from uaitrain.backends.kubernetes.options import is_name
from uaitrain.errors import UsageError
from uaitrain.spec import DATA_DIR, OUTPUT_DIR
from uaitrain.values import dataclass

CLAIM = "claim:"
HOST = "host:"
DATA_VARIABLE = "UAITRAIN_DATA"
OUTPUT_VARIABLE = "UAITRAIN_OUTPUT"
_ALLOWED = "claim:NAME or claim:NAME/sub/path, host:/path, or a URI such as s3://bucket/prefix"


@dataclass(frozen=True)
class Volumes:
    """``volumes`` of the pod, and ``mounts`` of its container, in the same order."""

    volumes: tuple[dict[str, Any], ...]
    mounts: tuple[dict[str, Any], ...]


def plan(job: Job) -> Volumes:
    """What ``job`` mounts; a claim that is mounted twice is one volume.

    Raises UsageError for sources that no cluster has, and for results that would be lost.
    """
    volumes: dict[str, dict[str, Any]] = {}
    mounts = []
    for mount in job.mounts:
        source, sub_path = _source(mount)
        name = next((n for n, known in volumes.items() if known == source), "")
        if not name:
            name = mount.target.rpartition("/")[2] or "root"
            name = name if name not in volumes else f"{name}-{len(volumes)}"
            volumes[name] = source
        mounts.append(_mount(name, mount.target, sub_path, mount.read_only))
    targets = {mount.target for mount in job.mounts}
    if OUTPUT_DIR not in targets and OUTPUT_VARIABLE not in job.environment:
        raise UsageError(
            "--run-output is missing: the results would go with the pod",
            allowed=_ALLOWED,
            next_step="give --run-output, or output = … in the table [run]",
        )
    # What the launcher copies to and fro lies on the node's disk while the pod lives.
    for target, variable in ((DATA_DIR, DATA_VARIABLE), (OUTPUT_DIR, OUTPUT_VARIABLE)):
        if target not in targets and variable in job.environment:
            name = target.rpartition("/")[2]
            volumes[name] = {"emptyDir": {}}
            mounts.append(_mount(name, target))
    if job.shm_bytes:
        volumes["shm"] = {"emptyDir": {"medium": "Memory", "sizeLimit": str(job.shm_bytes)}}
        mounts.append(_mount("shm", "/dev/shm"))  # noqa: S108 - a mount point, not a file
    named = tuple({"name": name, **source} for name, source in volumes.items())
    return Volumes(named, tuple(mounts))


def _source(mount: Mount) -> tuple[dict[str, Any], str]:
    """A volume's source, and the path in it."""
    text = mount.source
    if text.startswith(CLAIM):
        name, _, sub_path = text.removeprefix(CLAIM).partition("/")
        parts = [part for part in sub_path.split("/") if part]
        if is_name(name) and ".." not in parts:
            return {"persistentVolumeClaim": {"claimName": name}}, "/".join(parts)
    elif re.fullmatch(r"host:/.*", text) and ".." not in text.split("/"):
        # Directory, not DirectoryOrCreate: what the node makes belongs to root.
        return {"hostPath": {"path": text.removeprefix(HOST), "type": "Directory"}}, ""
    raise UsageError(f"{text!r} cannot be {mount.target} on Kubernetes", allowed=_ALLOWED)


def _mount(name: str, target: str, sub_path: str = "", read_only: bool = False) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": name, "mountPath": target}
    if sub_path:
        mount["subPath"] = sub_path
    if read_only:
        mount["readOnly"] = True
    return mount
