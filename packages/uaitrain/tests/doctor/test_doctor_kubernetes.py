"""What the doctor says of a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.kube_server import Server, kube, kubeconfig  # noqa: F401 a fixture
from uaitrain.doctor import kubernetes
from uaitrain.doctor.verdict import State, Surroundings, Verdict


def _told() -> Verdict:
    (verdict,) = kubernetes.check(Surroundings())
    return verdict


@pytest.fixture
def _config(kube: Server, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))


def test_a_machine_without_a_cluster_lacks_nothing() -> None:
    verdict = _told()

    assert (verdict.state, verdict.stops) == (State.NOTE, ())
    assert "no kubeconfig" in verdict.what
    assert verdict.mend


def test_a_machine_without_the_client_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)

    assert _told().mend == "pip install 'uaitrain[kubernetes]'"


@pytest.mark.usefixtures("_config")
def test_a_cluster_that_takes_runs(kube: Server) -> None:  # noqa: F811
    verdict = _told()

    assert verdict.state is State.PRESENT
    assert kube.url in verdict.what
    assert "namespace training" in verdict.what


@pytest.mark.usefixtures("_config")
def test_what_the_login_may_not_do_is_named(kube: Server) -> None:  # noqa: F811
    kube.may_not = {"create secrets", "get pods/log"}
    verdict = _told()

    assert verdict.state is State.NOTE
    assert verdict.what.endswith("this login may not get pods/log, create secrets")


@pytest.mark.usefixtures("_config")
def test_a_server_that_is_too_old(kube: Server) -> None:  # noqa: F811
    kube.version = "v1.25.3"

    assert "v1.25.3" in _told().what
    assert "1.26" in _told().mend


@pytest.mark.usefixtures("_config")
def test_a_server_that_is_not_there(
    kube: Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = kubeconfig(tmp_path / "gone", "https://127.0.0.1:9", tmp_path / "cluster-ca.crt")
    monkeypatch.setenv("KUBECONFIG", str(path))

    assert "cannot reach" in _told().what


@pytest.mark.parametrize(
    ("version", "too_old"),
    [("v1.25.3", True), ("v1.26.0", False), ("v1.31.2-eks-7f9249a", False), ("v2.0.0", False),
     ("v1.9.11", True), ("unknown", False)],
)  # fmt: skip
def test_versions_are_compared_as_numbers(version: str, too_old: bool) -> None:
    assert kubernetes.is_too_old(version) is too_old
