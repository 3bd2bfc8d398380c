"""What a preflight check has to say."""

from __future__ import annotations

from enum import Enum

from uaitrain.values import dataclass


class Severity(Enum):
    """An error stops the pack, a warning does not, a note only says what was not looked at."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that would make the job fail or lose its results.

    ``check`` is the check's stable name (``solver-missing``), ``what`` the fact with the bad
    value, ``where`` is ``file``, ``file:line`` or ``file:line:column`` on this machine (may be
    empty), ``why`` says what would happen in training, ``mend`` what to do.
    """

    severity: Severity
    check: str
    what: str
    where: str = ""
    why: str = ""
    mend: str = ""
