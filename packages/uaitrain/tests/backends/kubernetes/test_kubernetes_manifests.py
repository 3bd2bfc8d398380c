"""What is sent for a job: compared whole, and judged by the schemas that Kubernetes publishes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import kube_jobs
import kubernetes_validate.utils
import pytest
import yaml
from kube_jobs import CPU, EVERYTHING, GPU, JOBS, NODES, RUN_ID, STAGED, options
from uaitrain.backends import Job, Mount, connect
from uaitrain.backends.kubernetes.backend import OLDEST_SERVER
from uaitrain.backends.kubernetes.manifests import render
from uaitrain.errors import UsageError
from uaitrain.ship_settings import table

GOLDEN = Path(__file__).parent / "golden"
KEYS = "every setting"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


VERSIONS = sorted(
    {v for v in kubernetes_validate.utils.all_versions() if _number(v) >= _number(OLDEST_SERVER)},
    key=_number,
)


def _everything() -> dict[str, Any]:
    return kube_jobs.settings() | EVERYTHING


def _rendered(case: str) -> Any:
    if case == KEYS:
        return render(replace(STAGED, nodes=2), kube_jobs.judge(_everything()))
    return render(JOBS[case], options())


def _pod(job: Job, **given: Any) -> dict[str, Any]:
    made: dict[str, Any] = render(job, options(**given)).made_job["spec"]["template"]["spec"]
    return made


def _container(job: Job, **given: Any) -> dict[str, Any]:
    (container,) = _pod(job, **given)["containers"]
    return dict(container)


@pytest.mark.parametrize("case", [*JOBS, KEYS])
def test_a_request_is_the_golden_one(case: str) -> None:
    path = GOLDEN / f"{case.replace(' ', '-')}.yaml"

    assert path.read_text(encoding="utf-8") == _rendered(case).show()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", [*JOBS, KEYS])
def test_every_server_from_the_oldest_on_knows_every_field(case: str, version: str) -> None:
    for manifest in _rendered(case).manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_of_at_least_three_versions_are_asked() -> None:
    assert len(VERSIONS) >= 3
    assert OLDEST_SERVER in {".".join(v.split(".")[:2]) for v in VERSIONS}


def test_a_server_before_the_oldest_lacks_nothing_that_the_schemas_tell() -> None:
    """1.25 has the field already, switched off: why the oldest is not simply what validates."""
    for manifest in _rendered("nodes").manifests:
        kubernetes_validate.validate(manifest, "1.25", strict=True)


def test_a_wrong_field_would_be_noticed() -> None:
    manifest = _rendered("cpu").made_job
    manifest["spec"]["backofLimit"] = 3

    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


def test_every_setting_stands_in_the_golden_request_of_all() -> None:
    """Those of the connection apart, which no manifest holds."""
    asked = {setting.key for setting in table("kubernetes")}

    assert asked - set(EVERYTHING) == {"kubernetes.kubeconfig", "kubernetes.context"}


@pytest.mark.parametrize("case", [*JOBS, KEYS])
def test_what_is_shown_is_what_is_sent(case: str) -> None:
    request = _rendered(case)

    assert list(yaml.safe_load_all(request.show())) == request.to_json()["manifests"]


def _action(policy: dict[str, Any], code: int) -> str:
    """What Kubernetes does with a pod whose container ended with ``code``: the first rule."""
    for rule in policy["rules"]:
        if code in rule.get("onExitCodes", {}).get("values", ()):
            return str(rule["action"])
    return "Count"


@pytest.mark.parametrize(
    ("codes", "action"),
    [(range(1, 128), "FailJob"), (range(128, 256), "Count")],
    ids=["permanent failures", "a stop and kills from outside"],
)
def test_exit_codes_are_retried_as_the_contract_says(codes: range, action: str) -> None:
    policy = render(CPU, options()).job["spec"]["podFailurePolicy"]

    assert {_action(policy, code) for code in codes} == {action}


def test_a_disruption_is_looked_at_first_and_costs_no_retry() -> None:
    first = render(CPU, options()).job["spec"]["podFailurePolicy"]["rules"][0]

    assert first == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }


@pytest.mark.parametrize("case", ["cpu", "staged", "nodes"])
def test_pods_satisfy_the_restricted_pod_security_standard(case: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    pod = render(JOBS[case], options()).job["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {kind for volume in pod["volumes"] for kind in volume} <= {
        *("name", "emptyDir", "persistentVolumeClaim", "configMap", "secret"),
    }
    assert {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod) == set()


@pytest.mark.parametrize(
    ("job_user", "given", "user"),
    [
        ("", {}, (1000, 1000)),
        ("501:20", {}, (501, 20)),
        ("0:0", {}, (1000, 1000)),
        ("501:20", {"user": "4711"}, (4711, 4711)),
        ("", {"user": "4711:100"}, (4711, 100)),
    ],
)
def test_nobody_is_root(job_user: str, given: dict[str, str], user: tuple[int, int]) -> None:
    security = _pod(replace(CPU, user=job_user), **given)["securityContext"]

    assert (security["runAsUser"], security["runAsGroup"]) == user
    assert security["fsGroup"] == user[1]


def test_a_caller_who_is_not_root_is_whom_the_run_belongs_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 501)
    monkeypatch.setattr(os, "getgid", lambda: 20)
    request: Any = connect("kubernetes", kube_jobs.settings()).render(CPU)

    assert request.job["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 501


def test_dollars_come_out_of_kubernetes_expansion_as_they_were() -> None:
    """``$(NAME)`` is a variable to Kubernetes, ``$$`` a dollar."""
    job = replace(
        CPU, argv=("bash", "-c", "echo $(date) $HOME $$"), environment={"PRICE": "$(RANK)"}
    )
    container = _container(job)
    told = [*container["args"], *(e["value"] for e in container["env"] if e["name"] == "PRICE")]

    assert [word.replace("$$", "$") for word in told] == [*job.argv, "$(RANK)"]
    assert all(word.replace("$$", "").count("$") == 0 for word in told)


def test_one_claim_is_one_volume_however_often_it_is_mounted() -> None:
    """Two volumes of one claim keep some drivers' pods waiting for ever."""
    mounts = (Mount("claim:work/in", "/data/data", True), Mount("claim:work/out", "/data/output"))
    pod = _pod(replace(CPU, mounts=mounts))

    assert [volume["name"] for volume in pod["volumes"]] == ["data", "shm"]
    assert pod["containers"][0]["volumeMounts"][:2] == [
        {"name": "data", "mountPath": "/data/data", "subPath": "in", "readOnly": True},
        {"name": "data", "mountPath": "/data/output", "subPath": "out"},
    ]


def test_a_rank_finds_the_first_by_the_services_name() -> None:
    request = render(NODES, options())
    (service,) = request.owned
    env = {e["name"]: e.get("value") for e in _container(NODES)["env"]}

    assert env["UAITRAIN_MASTER"] == f"{RUN_ID}-0.{service['metadata']['name']}:29500"
    assert service["spec"]["selector"].items() <= (
        request.job["spec"]["template"]["metadata"]["labels"].items()
    )
    assert request.job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]


def test_the_longest_run_id_makes_legal_names() -> None:
    """A pod of several nodes is called NAME-INDEX, and that is its host name: 63 characters."""
    longest = "m" * 52
    request = render(replace(NODES, run_id=longest), options())

    assert len(f"{longest}-{NODES.nodes - 1}") <= 63
    assert request.run_id == longest


def test_no_secret_is_made_when_there_is_one_already() -> None:
    request = render(STAGED, options(secret="s3-keys"))  # noqa: S106 - its name

    assert request.owned == ()
    assert request.secrets == ()
    assert {
        entry["valueFrom"]["secretKeyRef"]["name"]
        for entry in _container(STAGED, secret="s3-keys")["env"]  # noqa: S106 - its name
        if "secretKeyRef" in entry.get("valueFrom", {})
    } == {"s3-keys"}


def test_no_value_of_a_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kube_jobs.SECRETS:
        monkeypatch.setenv(name, "tell-nobody")
    request = render(STAGED, options())

    assert "tell-nobody" not in request.show() + str(request.to_json()) + repr(request)


def test_a_cpu_run_asks_for_no_gpu_and_leaves_the_rest_to_the_cluster() -> None:
    assert "resources" not in _container(CPU)


def test_a_gpu_is_what_the_cluster_calls_it() -> None:
    limits = _container(GPU, gpu="amd.com/gpu")["resources"]["limits"]

    assert limits == {"cpu": "8", "memory": str(32 << 30), "amd.com/gpu": "2"}


@pytest.mark.parametrize(
    ("job", "word"),
    [
        (replace(CPU, mounts=(Mount("/mnt/data", "/data/data"), *CPU.mounts[1:])), "'/mnt/data'"),
        (replace(CPU, mounts=(Mount("claim:", "/data/output"),)), "'claim:'"),
        (replace(CPU, mounts=(Mount("claim:Big", "/data/output"),)), "'claim:Big'"),
        (replace(CPU, mounts=(Mount("claim:a/../b", "/data/output"),)), "'claim:a/../b'"),
        (replace(CPU, mounts=(Mount("host:data", "/data/output"),)), "'host:data'"),
        (replace(CPU, mounts=(Mount("host:/a/../etc", "/data/output"),)), "'host:/a/../etc'"),
        (replace(CPU, mounts=CPU.mounts[:1]), "--run-output"),
        (replace(CPU, run_id="Mnist"), "'Mnist'"),
        (replace(CPU, run_id="m" * 53), "mmm"),
        (replace(CPU, memory_bytes=1 << 20), "--shm"),
    ],
)
def test_what_no_cluster_can_run_is_refused_by_name(job: Job, word: str) -> None:
    with pytest.raises(UsageError) as refused:
        render(job, options())

    assert word in refused.value.what
    assert refused.value.allowed
