"""What is sent for a run, whole, and as ``--dry-run`` shows it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from uaitrain.backends.kubernetes import yaml_text
from uaitrain.values import dataclass

NOT_SHOWN = "<from the environment of submit>"
BY_SERVER = "<given by the server>"


@dataclass(frozen=True)
class KubernetesRequest:
    """The objects of a run, made in this order: the Job, then what belongs to it.

    ``secrets`` are the names of the variables whose values ``submit`` puts into the Secret;
    ``owned`` are the others, which get the Job as their owner and so go with it. ``namespace``
    is empty for that of the kubeconfig's context.
    """

    namespace: str
    job: Mapping[str, Any]
    owned: tuple[Mapping[str, Any], ...] = ()
    secrets: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        return str(self.job["metadata"]["name"])

    @property
    def manifests(self) -> tuple[dict[str, Any], ...]:
        """All objects, with words in place of what only ``submit`` knows."""
        values = dict.fromkeys(self.secrets, NOT_SHOWN)
        return (self.made_job, *(with_owner(each, BY_SERVER, values) for each in self.owned))

    @property
    def made_job(self) -> dict[str, Any]:
        return copy.deepcopy(dict(self.job))

    def show(self) -> str:
        return yaml_text.documents(self.manifests)

    def to_json(self) -> dict[str, Any]:
        return {"namespace": self.namespace, "manifests": list(self.manifests)}


def with_owner(manifest: Mapping[str, Any], uid: str, secrets: Mapping[str, str]) -> dict[str, Any]:
    """``manifest`` as it is sent: owned by the Job with ``uid``, a Secret with its values."""
    made = copy.deepcopy(dict(manifest))
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": made["metadata"]["name"], "uid": uid}
    made["metadata"]["ownerReferences"] = [owner]
    if made["kind"] == "Secret":
        made["stringData"] = dict(secrets)
    return made
