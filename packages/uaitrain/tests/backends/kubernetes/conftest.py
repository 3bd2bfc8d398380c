"""A server to talk to, and a backend that does."""

from __future__ import annotations

import kube_jobs
import pytest
from support.kube_server import Server, kube  # noqa: F401 a fixture
from uaitrain.backends.kubernetes.backend import Kubernetes
from uaitrain.backends.kubernetes.options import judge


@pytest.fixture
def backend(kube: Server, monkeypatch: pytest.MonkeyPatch) -> Kubernetes:  # noqa: F811
    monkeypatch.setenv("NO_PROXY", "*")
    for name in kube_jobs.SECRETS:
        monkeypatch.setenv(name, f"value of {name}")
    return Kubernetes(judge(kube_jobs.settings(kubeconfig=str(kube.kubeconfig))))
