"""What a Job does when a pod of it ends badly: the container's exit codes as Kubernetes' rules."""

from __future__ import annotations

from typing import Any

from uaitrain.errors import EXIT_TERMINATED

PERMANENT = range(1, 128)


def rules(container: str) -> dict[str, Any]:
    """A ``podFailurePolicy``; the first rule that fits a pod decides.

    Kubernetes' own interruptions (preemption, eviction, a drained or lost node) have the pod
    condition DisruptionTarget: such a pod is replaced and not counted. A run that was stopped by
    anyone else (143) is replaced and counted, so that one which always stops comes to an end.
    1 to 127 are final. What no rule names, a kill by a signal such as 137, is counted too.
    See https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
    """
    return {
        "rules": [
            {
                "action": "Ignore",
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
            },
            _on_codes("Count", container, [EXIT_TERMINATED]),
            _on_codes("FailJob", container, [*PERMANENT]),
        ]
    }


def _on_codes(action: str, container: str, values: list[int]) -> dict[str, Any]:
    return {
        "action": action,
        "onExitCodes": {"containerName": container, "operator": "In", "values": values},
        # The schemas up to 1.28 want it in every rule; an empty one says nothing.
        "onPodConditions": [],
    }
