"""The settings of the table ``uai``, judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from uaitrain.errors import UsageError
from uaitrain.registry.transport import is_loopback
from uaitrain.values import dataclass

_NODE = re.compile(r"([1-9][0-9]*)-([A-Za-z0-9]+(?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)")
_ID = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class NodeType:
    """``gpus`` accelerators of one kind, such as ``1-P40``; or the platform's ``node_id``."""

    gpus: int = 0
    accelerator: str = ""
    node_id: int = 0

    def __str__(self) -> str:
        return str(self.node_id) if self.node_id else f"{self.gpus}-{self.accelerator}"


@dataclass(frozen=True)
class Options:
    """Judged; empty texts mean: the account's default. ``node_type`` may be None: by the job."""

    url: str
    region: str
    zone: str
    project: str = ""
    node_type: NodeType | None = None
    data: str = ""
    output: str = ""
    business_group: str = ""
    profile: str = ""

    @property
    def common(self) -> dict[str, str]:
        """The parameters of every call (https://docs.ucloud.cn/api/summary/public)."""
        named = (("Region", self.region), ("Zone", self.zone), ("ProjectId", self.project))
        return {name: value for name, value in named if value}


def options_from(settings: Mapping[str, Any]) -> Options:
    """Raises UsageError for a value that cannot be."""
    values = {key.removeprefix("uai."): value for key, value in settings.items()}
    node_type = values["node_type"]
    return Options(
        url=check_url(values["url"]),
        region=_required("region", values["region"]),
        zone=_required("zone", values["zone"]),
        project=values["project"],
        node_type=parse_node_type(node_type) if node_type else None,
        data=values["data"],
        output=values["output"],
        business_group=values["business_group"],
        profile=values["profile"],
    )


def check_url(text: str) -> str:
    """The address of the API. The account's private key is sent there: never in the clear.

    Raises UsageError.
    """
    parts = urlsplit(text)
    is_whole = bool(parts.hostname) and not (parts.query or parts.fragment or parts.username)
    if not is_whole or not (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.netloc))
    ):
        raise UsageError(
            f"[uai] url: {text!r} cannot be the address of the API",
            allowed="https://host/, without user name and query; http:// on this machine only",
        )
    return text


def parse_node_type(text: str) -> NodeType:
    """``1-P40`` or a node's id. Raises UsageError."""
    if _ID.fullmatch(text):
        return NodeType(node_id=int(text))
    if match := _NODE.fullmatch(text):
        return NodeType(int(match[1]), match[2])
    raise UsageError(
        f"[uai] node_type: {text!r}",
        allowed="the number of GPUs and their kind, such as 1-P40, or a node id of the platform",
    )


def _required(name: str, text: str) -> str:
    if not text:
        raise UsageError(f"[uai] {name} is empty", allowed=f"a {name} of UCloud's")
    return text
