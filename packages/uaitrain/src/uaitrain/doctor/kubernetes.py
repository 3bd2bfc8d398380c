"""A Kubernetes cluster to send runs to: the one of the current kubeconfig context."""

from __future__ import annotations

from collections.abc import Iterator

from uaitrain.backends.kubernetes.backend import OLDEST_SERVER
from uaitrain.backends.kubernetes.cluster import NEEDS, Cluster
from uaitrain.backends.kubernetes.options import judge
from uaitrain.doctor.verdict import State, Surroundings, Verdict
from uaitrain.errors import UaitrainError
from uaitrain.ship_settings import table

_PATIENCE_SECONDS = 3.0


def check(surroundings: Surroundings) -> Iterator[Verdict]:
    try:
        options = judge({setting.key: setting.default for setting in table("kubernetes")})
        cluster = Cluster(options, _PATIENCE_SECONDS)
        version = cluster.version()
        missing = [str(need) for need in NEEDS if not cluster.may(need)]
    except UaitrainError as error:
        # No obstacle: most machines have no cluster, and need none.
        what = f"uaitrain submit kubernetes does not work here: {error.what}"
        yield Verdict("kubernetes", State.NOTE, what, error.next_step)
        return
    where = f"Kubernetes {version} at {cluster.host}, namespace {cluster.namespace}"
    if is_too_old(version):
        what = f"{where}, is too old for runs"
        yield Verdict("kubernetes", State.NOTE, what, f"Kubernetes {OLDEST_SERVER} or newer")
    elif missing:
        what = f"{where}: this login may not {', '.join(missing)}"
        mend = "ask whoever runs the cluster for a Role with these"
        yield Verdict("kubernetes", State.NOTE, what, mend)
    else:
        what = f"{where}, takes this login and lets it do what runs need"
        yield Verdict("kubernetes", State.PRESENT, what)


def is_too_old(version: str) -> bool:
    """Of a server that calls itself so, such as ``v1.25.3`` or ``v1.31.2-eks-7f9249a``."""
    parts = version.removeprefix("v").split(".")[:2]
    oldest = [int(part) for part in OLDEST_SERVER.split(".")]
    return all(part.isdigit() for part in parts) and [int(part) for part in parts] < oldest
