"""A run from submit to cancel, against an API server that checks what it gets.

No cluster runs here: ``support.kube_server`` is ours. What a real kube-apiserver does with the
same calls stands in docs/manual/kubernetes.md.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kube_jobs
import pytest
from kube_jobs import CPU, NODES, RUN_ID, STAGED
from support.kube_server import TOKEN, Server, kubeconfig
from uaitrain.backends import Job, State
from uaitrain.backends.kubernetes import backend as backend_module
from uaitrain.backends.kubernetes import login
from uaitrain.backends.kubernetes.backend import Kubernetes
from uaitrain.backends.kubernetes.options import judge
from uaitrain.errors import BackendError, BusyError, CredentialsError, UaitrainError, UsageError

HANDLE = f"training/{RUN_ID}"
ALL = replace(STAGED, nodes=2)
"""A run with all three objects."""


def _submit(backend: Kubernetes, job: Job = CPU) -> str:
    return backend.submit(backend.render(job))


def _with(server: Server, **given: Any) -> Kubernetes:
    given.setdefault("kubeconfig", str(server.kubeconfig))
    return Kubernetes(judge(kube_jobs.settings(**given)))


def _left(server: Server) -> list[tuple[str, str]]:
    objects = server.cluster.objects.items()
    return [(kind, name) for (kind, _), named in objects for name in named]


def _eventually(holds: Callable[[], bool]) -> None:
    """Waits for what another thread does; fails after long."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_exactly_what_was_rendered_is_sent(backend: Kubernetes, kube: Server) -> None:
    request = backend.render(ALL)
    handle = backend.submit(request)
    job, secret, service = kube.bodies
    shown, shown_secret, shown_service = request.manifests
    (uid,) = {owner["uid"] for owner in secret["metadata"]["ownerReferences"]}

    assert handle == HANDLE
    assert job == shown
    assert uid == kube.cluster.of("Job")[RUN_ID]["metadata"]["uid"]
    for told in (shown_secret, shown_service):
        told["metadata"]["ownerReferences"][0]["uid"] = uid
    shown_secret["stringData"] = {name: f"value of {name}" for name in kube_jobs.SECRETS}
    assert [secret, service] == [shown_secret, shown_service]


def test_a_run_needs_few_requests(backend: Kubernetes, kube: Server) -> None:
    _submit(backend, ALL)

    assert kube.requests == ["GET Job", "POST Job", "POST Secret", "POST Service"]


def test_the_namespace_is_the_settings_before_the_contexts(kube: Server) -> None:
    assert _submit(_with(kube, namespace="default")) == f"default/{RUN_ID}"


def test_a_secret_that_is_not_set_here_is_missed_before_anything_is_sent(
    backend: Kubernetes, kube: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match="AWS_SECRET_ACCESS_KEY"):
        _submit(backend, STAGED)

    assert kube.requests == []


@pytest.mark.parametrize("request_", ["POST Job", "POST Secret", "POST Service"])
@pytest.mark.parametrize("status", [403, 422, 500])
def test_of_a_submit_that_is_refused_nothing_is_left(
    backend: Kubernetes, kube: Server, request_: str, status: int
) -> None:
    kube.refusals[request_] = (status, "no such luck")
    with pytest.raises(BackendError, match="no such luck") as refused:
        _submit(backend, ALL)

    assert str(status) in refused.value.what
    assert request_.removeprefix("POST ") in refused.value.what
    _eventually(lambda: _left(kube) == [])


@pytest.mark.parametrize("request_", ["POST Job", "POST Secret"])
def test_a_submit_whose_answer_is_lost_leaves_nothing(
    backend: Kubernetes, kube: Server, request_: str
) -> None:
    """The Job was made, and nobody heard of it."""
    kube.lose_answer.append(request_)
    with pytest.raises(BackendError, match="cannot reach"):
        _submit(backend, ALL)

    _eventually(lambda: _left(kube) == [])


def test_ctrl_c_in_a_submit_leaves_nothing(
    backend: Kubernetes, kube: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backend_module, "with_owner", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _submit(backend, ALL)

    _eventually(lambda: _left(kube) == [])


def test_what_could_not_be_cleaned_up_is_said(backend: Kubernetes, kube: Server) -> None:
    kube.refusals |= {"POST Secret": (403, "no Secrets"), "DELETE Job": (403, "no deletion")}
    with pytest.raises(BackendError, match="no Secrets") as refused:
        _submit(backend, ALL)

    assert HANDLE in refused.value.next_step
    assert "no deletion" in refused.value.next_step


def test_another_job_of_that_name_is_not_touched(backend: Kubernetes, kube: Server) -> None:
    """One without our label, which is not found before."""
    theirs = backend.render(CPU).made_job
    theirs["metadata"]["labels"] = {}
    kube.cluster.add("training", theirs)
    with pytest.raises(BackendError, match="already exists"):
        _submit(backend)

    assert _left(kube) == [("Job", RUN_ID)]
    assert "DELETE Job" not in kube.requests


def test_a_run_that_is_not_over_is_not_started_twice(backend: Kubernetes, kube: Server) -> None:
    _submit(backend)
    with pytest.raises(BusyError, match=HANDLE):
        _submit(backend)

    assert kube.requests.count("POST Job") == 1


def test_a_stopped_run_goes_on_in_a_new_job_with_its_id(backend: Kubernetes, kube: Server) -> None:
    _submit(backend, ALL)
    kube.cluster.start_pod(RUN_ID, 0).end(143)
    kube.cluster.finish(RUN_ID, "Failed", "BackoffLimitExceeded")
    first = kube.cluster.of("Job")[RUN_ID]["metadata"]["uid"]

    assert backend.status([HANDLE])[HANDLE].state is State.STOPPED
    assert _submit(backend, ALL) == HANDLE
    assert kube.cluster.of("Job")[RUN_ID]["metadata"]["uid"] != first
    assert kube.cluster.pods == {}


def test_a_server_that_is_too_old_is_told_from_what_it_drops(
    backend: Kubernetes, kube: Server
) -> None:
    kube.unknown_fields = ("podFailurePolicy",)
    kube.version = "v1.25.3"
    with pytest.raises(BackendError, match=r"podFailurePolicy.*1\.25\.3") as refused:
        _submit(backend, CPU)

    assert "1.26" in refused.value.allowed
    _eventually(lambda: _left(kube) == [])


def test_a_life_of_a_run(backend: Kubernetes, kube: Server) -> None:
    def told() -> tuple[State, int | None, str]:
        status = backend.status([HANDLE])[HANDLE]
        return status.state, status.exit_code, status.reason

    assert told() == (State.UNKNOWN, None, "")
    _submit(backend)
    assert told() == (State.QUEUED, None, "")
    pod = kube.cluster.start_pod(RUN_ID)
    pod.schedule_fails()
    assert told() == (State.QUEUED, None, "Unschedulable")
    pod.wait("ImagePullBackOff")
    assert told() == (State.QUEUED, None, "ImagePullBackOff")
    pod.run()
    assert told() == (State.RUNNING, None, "")
    pod.end(137, "OOMKilled")
    assert told() == (State.QUEUED, None, "OOMKilled")
    again = kube.cluster.start_pod(RUN_ID)
    again.run()
    assert told() == (State.RUNNING, None, "")
    again.end(0)
    kube.cluster.finish(RUN_ID, "Complete")
    assert told() == (State.SUCCEEDED, 0, "")
    assert backend.status([HANDLE])[HANDLE].ended > 0


def test_many_runs_are_listed_the_newest_first(backend: Kubernetes, kube: Server) -> None:
    """More than the server tells at once, and another's Job among them."""
    names = [f"run-{number}" for number in range(7)]
    for name in names:
        _submit(backend, replace(CPU, run_id=name))
        kube.cluster.start_pod(name).run()
    theirs = backend.render(CPU).made_job
    theirs["metadata"] = {"name": "theirs"}
    kube.cluster.add("training", theirs)
    handles = [f"training/{name}" for name in names]

    assert [each.handle for each in backend.list()] == handles[::-1]
    assert {each.state for each in backend.list()} == {State.RUNNING}
    assert [*backend.status(handles)] == handles


def test_runs_of_several_namespaces_are_asked_for_at_once(
    backend: Kubernetes, kube: Server
) -> None:
    _submit(backend)
    other = _submit(_with(kube, namespace="default"), replace(CPU, run_id="other"))
    kube.requests.clear()
    found = backend.status([HANDLE, other, "training/never-was"])

    assert {h: s.state for h, s in found.items()} == {
        HANDLE: State.QUEUED,
        other: State.QUEUED,
        "training/never-was": State.UNKNOWN,
    }
    assert len(kube.requests) <= 4


def test_cancel_returns_when_no_pod_is_left(backend: Kubernetes, kube: Server) -> None:
    _submit(backend, ALL)
    for rank in range(2):
        pod = kube.cluster.start_pod(RUN_ID, rank)
        pod.run()
        pod.stop_seconds = 1.5
    ending = threading.Thread(target=backend.cancel, args=(HANDLE,))
    ending.start()
    _eventually(lambda: "DELETE Job" in kube.requests)
    seen = backend.status([HANDLE])[HANDLE]
    ending.join()

    assert (seen.state, seen.reason) == (State.RUNNING, "Terminating")
    assert kube.cluster.pods == {}
    assert _left(kube) == []
    assert backend.status([HANDLE])[HANDLE].state is State.UNKNOWN


@pytest.mark.parametrize(("code", "condition"), [(0, "Complete"), (3, "Failed")])
def test_cancel_leaves_a_run_that_is_over_as_it_is(
    backend: Kubernetes, kube: Server, code: int, condition: str
) -> None:
    """It may have ended a moment before; its state and its log stay."""
    _submit(backend)
    kube.cluster.start_pod(RUN_ID).end(code)
    kube.cluster.finish(RUN_ID, condition)
    before = backend.status([HANDLE])
    backend.cancel(HANDLE)

    assert backend.status([HANDLE]) == before


def test_cancel_waits_for_pods_of_a_job_that_is_over(backend: Kubernetes, kube: Server) -> None:
    """After a time limit the Job has failed while its pods still write their snapshots."""
    _submit(backend)
    pod = kube.cluster.start_pod(RUN_ID)
    pod.run()
    kube.cluster.finish(RUN_ID, "Failed", "DeadlineExceeded")
    backend.cancel(HANDLE)

    assert kube.cluster.pods == {}


def test_cancel_of_an_unknown_run_says_which_cluster_was_asked(
    backend: Kubernetes, kube: Server
) -> None:
    with pytest.raises(BackendError, match=f"{kube.url} has no run training/never-was"):
        backend.cancel("training/never-was")


def test_cancel_says_which_pod_does_not_go(
    backend: Kubernetes, kube: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a node that is lost: nobody can say that its containers are gone."""
    monkeypatch.setattr(backend_module, "_BEYOND_GRACE", 0)
    patient = _with(kube, grace=1)
    _submit(patient)
    pod = kube.cluster.start_pod(RUN_ID)
    pod.run()
    pod.stop_seconds = 4
    pod.told["spec"] = pod.told["spec"] | {"nodeName": "node-7"}
    with pytest.raises(BackendError, match=f"{pod.name} on node-7"):
        patient.cancel(HANDLE)
    _eventually(lambda: _left(kube) == [])


def test_a_login_that_is_not_taken(kube: Server) -> None:
    with pytest.raises(CredentialsError, match=f"{kube.url} does not take this login"):
        _with(kube, context="stranger").list()


def test_a_namespace_that_is_not_there(kube: Server) -> None:
    with pytest.raises(BackendError, match='namespaces "nowhere" not found') as refused:
        _submit(_with(kube, namespace="nowhere"))

    assert "kubectl get namespaces" in refused.value.next_step


def test_a_server_that_is_not_there(kube: Server, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "other", "https://127.0.0.1:9", tmp_path / "cluster-ca.crt")
    with pytest.raises(BackendError, match=r"cannot reach .*127\.0\.0\.1:9: .*refused") as refused:
        _with(kube, kubeconfig=str(path)).list()

    assert "0x" not in refused.value.what


def test_a_server_with_another_certificate(kube: Server, tmp_path: Path) -> None:
    """The kubeconfig trusts another CA."""
    from support.certificates import self_signed

    stranger = self_signed(tmp_path, "another-ca").certificate
    path = kubeconfig(tmp_path / "other", kube.url, stranger)
    with pytest.raises(BackendError, match="certificate verify failed"):
        _with(kube, kubeconfig=str(path)).list()


def test_no_kubeconfig_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UsageError, match="no kubeconfig"):
        Kubernetes(judge(kube_jobs.settings())).list()


def test_a_dry_run_needs_no_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)

    assert "kind: Job" in Kubernetes(judge(kube_jobs.settings())).render(CPU).show()


def test_the_kubeconfig_is_found_where_kubectl_finds_it(
    kube: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of several files of KUBECONFIG may be missing."""
    monkeypatch.setenv("KUBECONFIG", f"/nowhere/config{os.pathsep}{kube.kubeconfig}")

    assert Kubernetes(judge(kube_jobs.settings())).list() == ()


def test_in_a_pod_the_service_account_is_the_login(
    kube: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files lie elsewhere here; only a pod has them where the client looks."""
    from kubernetes.config import incluster_config

    host, _, port = kube.url.removeprefix("https://").partition(":")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "namespace").write_text("training\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "cluster-ca.crt"))
    monkeypatch.setattr(login, "_SERVICE_ACCOUNT", tmp_path)

    assert _submit(Kubernetes(judge(kube_jobs.settings()))) == HANDLE


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("users: [{token: tell-nobody]", "it is not one"),
        ("", "empty"),
        ("[1, 2]", "it is not one"),
        ("apiVersion: v1\nkind: Config\ncurrent-context: gone\ncontexts: []", "gone"),
    ],
)
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str, word: str) -> None:
    """The message never quotes the file, which may hold keys."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        Kubernetes(judge(kube_jobs.settings(kubeconfig=str(path)))).list()

    assert word in refused.value.what
    assert "tell-nobody" not in str(refused.value)


def test_an_unknown_context_is_named(kube: Server) -> None:
    with pytest.raises(UsageError, match="nothere"):
        _with(kube, context="nothere").list()


@pytest.mark.parametrize("request_", ["GET Job", "POST Job", "POST Secret", "DELETE Job"])
def test_no_error_holds_a_secret(backend: Kubernetes, kube: Server, request_: str) -> None:
    kube.refusals[request_] = (500, "it broke")
    try:
        _submit(backend, ALL)
        backend.cancel(HANDLE)
    except UaitrainError as error:
        told: BaseException | None = error
        while told:
            assert "value of AWS" not in f"{told} {told.args}"
            told = told.__cause__ or told.__context__
    else:
        pytest.fail("nothing was refused")


def test_nodes_of_a_run_are_made_at_once(backend: Kubernetes, kube: Server) -> None:
    _submit(backend, NODES)
    spec = kube.cluster.of("Job")[RUN_ID]["spec"]

    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
