"""What will be sent, whole: the calls that look ids up, and the one that creates the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uaitrain.values import dataclass, field

CREATE = "CreateUAITrainJob"
ADDED = ("PublicKey", "Signature", "TrainPublicKey", "TrainPrivateKey")
"""What :data:`CREATE` gets when it is sent: the account's keys and what is made of them."""

Value = str | int
Parameters = Mapping[str, Value]


@dataclass(frozen=True)
class Lookup:
    """A call whose answer gives ``parameter`` of the calls after it.

    In the list ``rows`` of the answer, the row whose fields are those of ``where`` (texts in any
    case) has it as ``column``. ``needs`` are parameters that earlier lookups gave.
    """

    parameter: str
    action: str
    rows: str
    where: Parameters
    column: str
    parameters: Parameters = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.where.items())


@dataclass(frozen=True)
class UaiRequest:
    """``common`` stands in every call, ``parameters`` are the job's. No key is in it."""

    url: str
    common: Parameters
    lookups: tuple[Lookup, ...]
    parameters: Parameters

    @property
    def name(self) -> str:
        return str(self.parameters["TrainJobName"])

    def show(self) -> str:
        lines = [
            f"# POST {self.url}, each call signed with the account's keys, which are not shown:",
            f"# {', '.join(ADDED)} are added when it is sent.",
        ]
        for lookup in self.lookups:
            lines += _lines(lookup.action, {**self.common, **lookup.parameters}, lookup.needs)
            lines.append(f"  gives {lookup.parameter}: {lookup.column} where {lookup.wanted}")
        found = tuple(lookup.parameter for lookup in self.lookups)
        lines += _lines(CREATE, {**self.common, **self.parameters}, found)
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "lookups": [
                {
                    "action": lookup.action,
                    "parameters": {**self.common, **lookup.parameters},
                    "found_before": list(lookup.needs),
                    "gives": lookup.parameter,
                    "column": lookup.column,
                    "where": dict(lookup.where),
                }
                for lookup in self.lookups
            ],
            "action": CREATE,
            "parameters": {**self.common, **self.parameters},
            "found_before": [lookup.parameter for lookup in self.lookups],
            "added_when_sent": list(ADDED),
        }


def _lines(action: str, parameters: Parameters, found: tuple[str, ...]) -> list[str]:
    return [
        action,
        *(f"  {name} = {value}" for name, value in parameters.items()),
        *(f"  {name} = (found above)" for name in found),
    ]
