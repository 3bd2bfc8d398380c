"""Our frozen dataclasses behave as the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pytest
from uaitrain import values


def classes(module: Any) -> tuple[type, type]:
    @module.dataclass(frozen=True)
    class Point:
        """A point."""

        x: int
        y: int = 2
        notes: Mapping[str, str] = module.field(default_factory=dict, hash=False)
        hidden: str = module.field(default="h", repr=False, compare=False)

        @cached_property
        def total(self) -> int:
            return self.x + self.y

    @module.dataclass(frozen=True)
    class Named(Point):
        """A point with a name."""

        name: str = "n"

    return Point, Named


OURS, THEIRS = classes(values), classes(dataclasses)

CASES: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((1,), {}),
    ((1, 5), {}),
    ((), {"x": 1, "notes": {"a": "b"}}),
    ((1, 2, {}, "z"), {}),
    ((1,), {"hidden": "other"}),
)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("args", "named"), CASES)
def test_values_look_and_compare_as_the_standard_ones(
    number: int, args: tuple[Any, ...], named: dict[str, Any]
) -> None:
    our, their = OURS[number](*args, **named), THEIRS[number](*args, **named)

    assert repr(our) == repr(their)
    assert dataclasses.asdict(our) == dataclasses.asdict(their)
    assert our == OURS[number](*args, **named)
    assert hash(our) == hash(their)
    assert (our == OURS[number](1)) == (their == THEIRS[number](1))
    assert our.total == their.total
    for replace in (values.replace, dataclasses.replace):
        assert repr(replace(our, y=9)) == repr(dataclasses.replace(their, y=9))
    assert copy.deepcopy(our) == our
    assert [f.name for f in dataclasses.fields(our)] == [f.name for f in dataclasses.fields(their)]


@pytest.mark.parametrize(
    ("args", "named"), [((), {}), ((1, 2, {}, "h", "n", 6), {}), ((1,), {"z": 1}), ((1,), {"x": 1})]
)
def test_wrong_arguments_are_refused(args: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in (OURS[1], THEIRS[1]):
        with pytest.raises(TypeError):
            kind(*args, **named)


def test_nothing_can_be_changed() -> None:
    for point in (OURS[0](1), THEIRS[0](1)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            point.x = 3
        with pytest.raises(dataclasses.FrozenInstanceError):
            del point.x
        with pytest.raises(dataclasses.FrozenInstanceError):
            point.new = 3


def test_another_class_is_never_equal() -> None:
    assert OURS[0](1) != OURS[1](1)
    assert OURS[0](1) != (1, 2, {})


def test_defaults_made_by_a_factory_are_not_shared() -> None:
    assert OURS[0](1).notes is not OURS[0](1).notes


def test_a_class_that_can_change_is_no_value() -> None:
    with pytest.raises(AssertionError):
        values.dataclass(frozen=False)


def test_a_value_can_be_made_with_other_fields_but_not_with_unknown_ones() -> None:
    for module, kind in ((values, OURS[1]), (dataclasses, THEIRS[1])):
        assert module.replace(kind(1, name="a"), y=3) == kind(1, 3, name="a")  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            module.replace(kind(1), z=3)  # type: ignore[attr-defined]


def test_the_standard_librarys_fields_have_no_place_in_a_value() -> None:
    with pytest.raises(TypeError, match="notes: a value's field comes from"):

        @values.dataclass(frozen=True)
        class Mixed:
            notes: list[str] = dataclasses.field(default_factory=list)


def test_values_load_no_module_of_the_standard_library() -> None:
    code = (
        "import sys; before = {*sys.modules}; import uaitrain.values;"
        "print(*sorted({*sys.modules} - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["__future__", "uaitrain", "uaitrain.values"]
