"""What the engine says when it refuses something.

    CaffeError                 the root; also a RuntimeError, as pycaffe's users expect
    ├── DefinitionError        a solver or net definition is wrong (file, layer, field)
    │   └── ShapeError         shapes do not fit together (both shapes, both layers)
    ├── DataError              a data source is missing, broken or of the wrong shape
    ├── SnapshotError          weights or solver state cannot be read, written or used
    ├── DeviceError            no such device
    ├── NumericError           a number that training cannot go on with (NaN, infinity)
    └── UsageError             a wrong call: arguments of the command line or of a function

Each says what is wrong with the bad value, what is allowed, and the next step.
"""

from __future__ import annotations

from typing import Self


class CaffeError(RuntimeError):
    """``what`` has the bad value in it; ``allowed`` and ``next_step`` may be empty."""

    def __init__(self, what: str, *, allowed: str = "", next_step: str = "") -> None:
        self.what = what
        self.allowed = allowed
        self.next_step = next_step
        parts = [what]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if next_step:
            parts.append(f"next: {next_step}")
        super().__init__("; ".join(parts))

    def at(self, place: str) -> Self:
        """The same error with a place in front, unless that is empty."""
        if not place:
            return self
        return type(self)(f"{place}: {self.what}", allowed=self.allowed, next_step=self.next_step)


class DefinitionError(CaffeError):
    """A solver or net definition is wrong."""


class ShapeError(DefinitionError):
    """Shapes do not fit together."""


class DataError(CaffeError):
    """A data source is missing, broken or of the wrong shape."""


class SnapshotError(CaffeError):
    """Weights or solver state cannot be read, written or used."""


class DeviceError(CaffeError):
    """No such device."""


class NumericError(CaffeError):
    """A number that training cannot go on with."""


class UsageError(CaffeError):
    """A wrong call."""
