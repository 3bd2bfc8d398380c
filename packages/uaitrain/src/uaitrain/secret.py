"""A value that is passed around but never shown."""

from __future__ import annotations


class Secret:
    """Wraps a password, key or token so that ``str``, ``repr`` and f-strings print ``***``.

    Call :meth:`reveal` only where the bytes go on the wire.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__
