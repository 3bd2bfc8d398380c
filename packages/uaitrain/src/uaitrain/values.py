"""Frozen dataclasses that are made quickly (docs/decisions/0008-values.md).

The standard decorator writes and compiles six functions for each frozen class, and its module
loads ``inspect``: together a third of a small pack's time. Here the functions are shared and
nothing is loaded. To type checkers it is the standard library's, and so it is to the functions
of ``dataclasses``: the fields that they ask for are made when they ask.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import dataclasses
    from collections.abc import Iterator
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
    from typing import Any
else:

    def dataclass(*, frozen):
        """The class decorator ``@dataclass(frozen=True)``."""
        assert frozen, "only frozen classes can share their functions"
        return _share

    def field(**options):
        """One field's ``default`` or ``default_factory``, ``repr``, ``compare`` and ``hash``."""
        return _Field(**options)

    def replace(value, **changes):
        """The same value with other fields. Raises TypeError for a field that it has not."""
        known = {name: value.__dict__[name] for name in type(value).__value_fields__}
        return type(value)(**{**known, **changes})


_MISSING = object()


class _Field:
    """What a class says about one of its fields."""

    __slots__ = ("compare", "default", "factory", "hash", "repr")

    def __init__(
        self,
        default: Any = _MISSING,
        *,
        default_factory: Any = _MISSING,
        repr: bool = True,
        compare: bool = True,
        hash: bool | None = None,
    ) -> None:
        self.default, self.factory = default, default_factory
        self.repr, self.compare = repr, compare
        self.hash = compare if hash is None else hash

    def standard(self) -> Any:
        import dataclasses

        given: Any = {"repr": self.repr, "compare": self.compare, "hash": self.hash}
        if self.default is not _MISSING:
            given["default"] = self.default
        if self.factory is not _MISSING:
            given["default_factory"] = self.factory
        return dataclasses.field(**given)


class _Standard:
    """An attribute that ``dataclasses`` looks for in a class, made when it does."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, value: object, cls: type) -> Any:
        import dataclasses

        body: dict[str, Any] = {"__annotations__": dict.fromkeys(_fields(cls), "object")}
        body |= {name: each.standard() for name, each in _fields(cls).items()}
        made: type = dataclasses.dataclass(frozen=True, eq=False)(type(cls.__name__, (), body))
        return getattr(made, self._name)


_STANDARD = {name: _Standard(name) for name in ("__dataclass_fields__", "__dataclass_params__")}


def _share(cls: Any) -> Any:
    fields: dict[str, _Field] = {}
    for parent in reversed(cls.__mro__[1:]):
        fields.update(getattr(parent, "__value_fields__", {}))
    for name, annotation in cls.__annotations__.items():
        if not annotation.startswith("ClassVar"):
            fields[name] = _taken(cls, name)
    cls.__value_fields__ = fields
    for name, attribute in {**_STANDARD, "__match_args__": tuple(fields)}.items():
        setattr(cls, name, attribute)
    cls.__init__ = _init_for(fields)
    cls.__eq__ = _eq
    cls.__hash__ = _hash
    cls.__setattr__ = _refuse_set
    cls.__delattr__ = _refuse_delete
    # A class may have its own way of showing itself: a secret's, for one.
    if "__repr__" not in cls.__dict__:
        cls.__repr__ = _repr
    return cls


def _taken(cls: Any, name: str) -> _Field:
    """A field as the class's body gives it; only a plain default stays an attribute."""
    given = cls.__dict__.get(name, _MISSING)
    if type(given).__module__ == "dataclasses":
        raise TypeError(f"{cls.__name__}.{name}: a value's field comes from uaitrain.values")
    if not isinstance(given, _Field):
        return _Field(given)
    if given.default is _MISSING:
        delattr(cls, name)
    else:
        setattr(cls, name, given.default)
    return given


def _init_for(fields: dict[str, _Field]) -> Any:
    names = tuple(fields)
    defaults = {n: f.default for n, f in fields.items() if f.default is not _MISSING}
    factories = {n: f.factory for n, f in fields.items() if f.factory is not _MISSING}

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807 - it becomes the method
        values = self.__dict__
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} takes {len(names)} values, not {len(args)}")
        values.update(zip(names, args, strict=False))
        for name in names[len(args) :]:
            if name in given:
                values[name] = given.pop(name)
            elif name in defaults:
                values[name] = defaults[name]
            elif name in factories:
                values[name] = factories[name]()
            else:
                raise TypeError(f"{type(self).__name__} lacks {name!r}")
        if given:
            raise TypeError(f"{type(self).__name__} has no place for {', '.join(given)}")

    return __init__


def _fields(cls: Any) -> dict[str, _Field]:
    return cls.__value_fields__  # type: ignore[no-any-return] # set by the decorator


def _compared(self: Any) -> Iterator[Any]:
    return (self.__dict__[name] for name, each in _fields(self).items() if each.compare)


def _eq(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return tuple(_compared(self)) == tuple(_compared(other))


def _hash(self: Any) -> int:
    return hash(tuple(self.__dict__[name] for name, each in _fields(self).items() if each.hash))


def _repr(self: Any) -> str:
    shown = (f"{name}={self.__dict__[name]!r}" for name, f in _fields(self).items() if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_set(self: Any, name: str, value: object) -> None:
    raise _frozen_error(f"cannot assign to field {name!r}")


def _refuse_delete(self: Any, name: str) -> None:
    raise _frozen_error(f"cannot delete field {name!r}")


def _frozen_error(text: str) -> dataclasses.FrozenInstanceError:
    from dataclasses import FrozenInstanceError

    return FrozenInstanceError(text)
