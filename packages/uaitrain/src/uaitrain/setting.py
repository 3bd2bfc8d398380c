"""One setting of a job: its key in ``uaitrain.toml``, its flag, its kind and what it means."""

from __future__ import annotations

from collections.abc import Mapping

from uaitrain.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TEXT, PATH, NUMBER, SWITCH, LIST = "text", "a path", "a whole number", "true or false", "a list"
TYPES: Mapping[str, type] = {TEXT: str, PATH: str, NUMBER: int, SWITCH: bool, LIST: list}


@dataclass(frozen=True)
class Setting:
    """One setting: its key in the file (dots for tables), its flag, and what it means."""

    key: str
    flag: str
    help: str
    default: Any = None
    kind: str = TEXT
    metavar: str = ""

    @property
    def destination(self) -> str:
        return self.key.replace(".", "_")

    @property
    def table(self) -> str:
        """The table of the file that it stands in, or empty."""
        return self.key.rpartition(".")[0]
