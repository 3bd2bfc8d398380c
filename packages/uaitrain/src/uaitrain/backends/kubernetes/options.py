"""The settings of the table ``[kubernetes]``, judged once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from uaitrain.errors import UsageError
from uaitrain.values import dataclass, field

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"({_SUBDOMAIN}/)?{_NAME}"
_LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class Toleration:
    """Of a taint: any value of ``key`` where ``value`` is None, any effect where it is empty."""

    key: str
    value: str | None = None
    effect: str = ""

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"key": self.key}
        if self.value is None:
            told["operator"] = "Exists"
        else:
            told |= {"operator": "Equal", "value": self.value}
        return told | ({"effect": self.effect} if self.effect else {})


@dataclass(frozen=True)
class Options:
    """Where runs go and what their pods get. Empty texts and None leave it to the cluster.

    ``user`` is who the container runs as whatever the job says, ``caller`` who it does where
    nobody says anything; both are uid and gid, and never root.
    ``grace`` is the seconds that a pod has between SIGTERM and SIGKILL, ``keep`` the seconds for
    which the cluster keeps a Job that is over (0: until it is deleted by hand), ``retries`` how
    often a pod that was killed is replaced.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    gpu: str = "nvidia.com/gpu"
    user: tuple[int, int] | None = None
    caller: tuple[int, int] = (1000, 1000)
    grace: int = 120
    keep: int = 604800
    retries: int = 10
    pull_secrets: tuple[str, ...] = ()
    secret: str = ""
    service_account: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str = ""
    runtime_class: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def judge(values: Mapping[str, Any]) -> Options:
    """The options that ``values`` say, by the keys of ``ship_settings``. Raises UsageError."""

    def of(word: str) -> Any:
        return values[f"kubernetes.{word}"]

    return Options(
        kubeconfig=of("kubeconfig"),
        context=of("context"),
        namespace=_name("--namespace", of("namespace"), _LABEL),
        gpu=_required("--gpu-resource", _name("--gpu-resource", of("gpu"), _KEY)),
        user=_user(of("user")),
        grace=_number("--grace-period", of("grace"), 1),
        keep=_number("--keep-job", of("keep"), 0),
        retries=_number("--retries", of("retries"), 0),
        pull_secrets=_names("--pull-secret", of("pull_secrets")),
        secret=_name("--existing-secret", of("secret"), _SUBDOMAIN),
        service_account=_name("--service-account", of("service_account"), _SUBDOMAIN),
        node_selector=_labels("--node-selector", of("node_selector")),
        tolerations=tuple(_toleration(text) for text in of("tolerations")),
        priority_class=_name("--priority-class", of("priority_class"), _SUBDOMAIN),
        runtime_class=_name("--runtime-class", of("runtime_class"), _SUBDOMAIN),
        labels=_labels("--kube-label", of("labels")),
        annotations=_pairs("--annotation", of("annotations")),
    )


def is_name(text: str) -> bool:
    """Whether objects can be called so: a DNS subdomain name of RFC 1123."""
    return len(text) <= 253 and re.fullmatch(_SUBDOMAIN, text) is not None


def _name(flag: str, text: str, pattern: str) -> str:
    if text and not re.fullmatch(pattern, text):
        raise UsageError(
            f"{flag}: not a name that Kubernetes takes: {text!r}",
            allowed="letters, digits and dashes, beginning and ending with a letter or digit",
        )
    return text


def _required(flag: str, text: str) -> str:
    if not text:
        raise UsageError(f"{flag} is empty", allowed="a resource, such as nvidia.com/gpu")
    return text


def _names(flag: str, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(_name(flag, text, _SUBDOMAIN) for text in texts)


def _number(flag: str, value: int, least: int) -> int:
    if not least <= value <= _LARGEST_ID:
        raise UsageError(f"{flag} {value}", allowed=f"{least} to {_LARGEST_ID}")
    return value


def _user(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,10})(?::([0-9]{1,10}))?", text)
    user = int(match[1]) if match else 0
    group = int(match[2] or user) if match else 0
    if not 0 < user <= _LARGEST_ID or not 0 < group <= _LARGEST_ID:
        raise UsageError(
            f"--run-as: {text!r}",
            allowed="uid or uid:gid in numbers, neither of them 0: runs on a cluster are not root",
        )
    return user, group


def _pairs(flag: str, texts: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or len(key) > 317 or not re.fullmatch(_KEY, key):
            raise UsageError(f"{flag}: {text!r}", allowed="KEY=VALUE, such as example.com/team=a")
        pairs[key] = value
    return pairs


def _labels(flag: str, texts: Iterable[str]) -> dict[str, str]:
    pairs = _pairs(flag, texts)
    for key, value in pairs.items():
        _label_value(flag, f"{key}={value}", value)
    return pairs


def _label_value(flag: str, text: str, value: str) -> None:
    if value and not re.fullmatch(_NAME, value):
        raise UsageError(
            f"{flag}: {text!r}",
            allowed="a value of at most 63 letters, digits, dashes, underscores and dots",
        )


def _toleration(text: str) -> Toleration:
    taint, colon, effect = text.partition(":")
    key, equals, value = taint.partition("=")
    if not re.fullmatch(_KEY, key) or (colon and effect not in EFFECTS):
        raise UsageError(
            f"--toleration: {text!r}",
            allowed=f"KEY[=VALUE][:EFFECT], as taints are written; effects: {', '.join(EFFECTS)}",
        )
    _label_value("--toleration", text, value)
    return Toleration(key, value if equals else None, effect)
