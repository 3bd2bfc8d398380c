"""What preflight looks at."""

from __future__ import annotations

from collections.abc import Mapping

from uaitrain.files.inventory import Inventory
from uaitrain.spec import TrainSpec
from uaitrain.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True)
class BaseFacts:
    """What is known of one accelerator's base; None means not known.

    ``python`` is a version such as ``2.7.6``, ``has_python`` tells of ``/usr/bin/python``;
    ``engine`` is our engine with its version, empty for a base with another one.
    """

    name: str
    python: str | None = None
    has_python: bool | None = None
    is_cpu_build: bool = False
    engine: str = ""


@dataclass(frozen=True)
class EngineAnswer:
    """What our engine says of the job: ``facts`` (shapes, memory) or an ``error``; ``failure``
    tells why it says nothing."""

    facts: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    failure: str = ""


@dataclass(frozen=True)
class Subject:
    """A job before anything is built: the spec, the selected files, the bases by accelerator.

    ``engine`` is what our engine said, where it was asked.
    """

    spec: TrainSpec
    inventory: Inventory
    bases: Mapping[str, BaseFacts] = field(default_factory=dict)
    engine: EngineAnswer | None = None
