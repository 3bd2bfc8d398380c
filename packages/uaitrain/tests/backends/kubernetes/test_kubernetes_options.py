"""Settings are judged once, each by its flag."""

from __future__ import annotations

from typing import Any

import pytest
from kube_jobs import options, settings
from uaitrain.backends import connect
from uaitrain.errors import UsageError
from uaitrain.ship_settings import table


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("namespace", "Team A"),
        ("gpu", ""),
        ("gpu", "nvidia com"),
        ("user", "root"),
        ("user", "0"),
        ("user", "1000:0"),
        ("user", "-1"),
        ("user", "99999999999"),
        ("grace", 0),
        ("keep", -1),
        ("retries", -1),
        ("retries", 2**31),
        ("pull_secrets", ["Not_One"]),
        ("secret", "a/b"),
        ("service_account", "$(id)"),
        ("node_selector", ["gpu"]),
        ("node_selector", ["=a"]),
        ("node_selector", ["gpu=a b"]),
        ("tolerations", ["gpu:Sometimes"]),
        ("tolerations", [":NoSchedule"]),
        ("priority_class", "High!"),
        ("runtime_class", "a b"),
        ("labels", ["a=" + "x" * 64]),
        ("annotations", ["note"]),
    ],
)
def test_a_bad_value_is_named_with_its_flag_and_what_is_allowed(word: str, value: Any) -> None:
    (setting,) = (s for s in table("kubernetes") if s.key == f"kubernetes.{word}")
    with pytest.raises(UsageError) as refused:
        connect("kubernetes", settings(**{word: value}))

    assert refused.value.what.startswith(setting.flag)
    assert refused.value.allowed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gpu", {"key": "gpu", "operator": "Exists"}),
        ("gpu:NoExecute", {"key": "gpu", "operator": "Exists", "effect": "NoExecute"}),
        ("a.b/c=d", {"key": "a.b/c", "operator": "Equal", "value": "d"}),
        (
            "a=:NoSchedule",
            {"key": "a", "operator": "Equal", "value": "", "effect": "NoSchedule"},
        ),
    ],
)
def test_tolerations_are_written_as_taints_are(text: str, told: dict[str, str]) -> None:
    (toleration,) = options(tolerations=[text]).tolerations

    assert toleration.to_json() == told


def test_the_defaults_are_those_of_the_table() -> None:
    judged = options()

    assert (judged.gpu, judged.grace, judged.keep, judged.retries) == (
        "nvidia.com/gpu",
        120,
        604800,
        10,
    )
    assert judged.user is None
