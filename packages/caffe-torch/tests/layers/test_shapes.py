"""Flatten, Reshape, Tile and Crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

X = [numbers(2, 3, 4, 5)]
LIKE = numbers(2, 3, 2, 3, seed=12)


def flatten(fields: str) -> str:
    return f'type: "Flatten" flatten_param {{ {fields} }}'


def reshape(dims: str, more: str = "") -> str:
    shape = "".join(f" dim: {size}" for size in dims.split())
    return f'type: "Reshape" reshape_param {{ shape {{{shape} }} {more} }}'


def tile(fields: str) -> str:
    return f'type: "Tile" tile_param {{ {fields} }}'


def crop(fields: str) -> str:
    return f'type: "Crop" crop_param {{ {fields} }}'


CASES = [
    Case('type: "Flatten"', X, name="flatten"),
    Case(flatten("axis: 0"), X, name="flatten all"),
    Case(flatten("axis: -2"), X, name="flatten from -2"),
    Case(flatten("axis: 1 end_axis: 2"), X, name="flatten the middle"),
    Case(flatten("axis: 2 end_axis: 2"), X, name="flatten one"),
    Case(flatten("axis: 2 end_axis: 1"), X, name="flatten none"),
    Case(reshape("2 60"), X, name="reshape"),
    Case(reshape("0 -1"), X, name="reshape 0 -1"),
    Case(reshape("0 0 -1"), X, name="reshape 0 0 -1"),
    Case(reshape("-1 0 2 5"), X, name="reshape, -1 before 0"),
    Case(reshape("12", "axis: 1 num_axes: 2"), X, name="reshape two axes"),
    Case(reshape("4 3", "axis: 1 num_axes: 2"), X, name="reshape two to two"),
    Case(reshape("0 0", "axis: 1 num_axes: 2"), X, name="reshape copies from axis"),
    Case(reshape("1 1", "axis: -1"), X, name="reshape appends"),
    Case(reshape("1", "axis: -1 num_axes: 0"), X, name="reshape appends one"),
    Case(reshape("1", "axis: 1 num_axes: 0"), X, name="reshape inserts"),
    Case(reshape("-1", "axis: -3"), X, name="reshape from -3"),
    Case(reshape("", "axis: 0 num_axes: 0"), X, name="reshape to the same"),
    Case(reshape("", "axis: 1 num_axes: 1"), [numbers(2, 1, 3)], name="reshape drops"),
    Case('type: "Reshape"', [numbers(1, 1)], name="reshape to a scalar"),
    Case(tile("tiles: 3"), X, name="tile"),
    Case(tile("tiles: 2 axis: 0"), X, name="tile axis 0"),
    Case(tile("tiles: 2 axis: -1"), X, name="tile axis -1"),
    Case(tile("tiles: 1"), X, name="tile once"),
    Case('type: "Crop"', [*X, LIKE], gradients=[True, False], name="crop"),
    Case('type: "Crop"', [*X, LIKE], name="crop, both gradients"),
    Case(crop("offset: 1"), [*X, LIKE], name="crop, one offset"),
    Case(crop("offset: 2 offset: 1"), [*X, LIKE], name="crop, two offsets"),
    Case(crop("axis: 1 offset: 1"), [*X, numbers(9, 2, 3, 4)], name="crop from axis 1"),
    Case(crop("axis: -1 offset: 2"), [*X, LIKE], name="crop the last"),
    Case(crop("axis: 0"), [*X, numbers(1, 2, 3, 4)], name="crop all"),
    Case(crop("axis: 0 offset: 1 offset: 0"), [numbers(3, 2), numbers(2, 2)], name="crop 2d"),
    Case(crop("axis: 1"), [numbers(3, 4), numbers(9, 2, 7)], name="crop by more axes"),
    Case('type: "Crop"', [*X, X[0]], name="crop nothing"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_shapes_are_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


SMALL = numbers(2, 3, 2)


@pytest.mark.parametrize(
    "case",
    [
        Case('type: "Flatten"', [SMALL]),
        Case(reshape("0 -1"), [SMALL]),
        Case(tile("tiles: 2"), [SMALL]),
        Case(crop("axis: 1 offset: 1 offset: 0"), [SMALL, numbers(2, 2, 1)]),
    ],
    ids=lambda case: case.text,
)
def test_the_gradient_is_the_derivative(case: Case) -> None:
    check_gradient(case)


WRONG = [
    (Case(flatten("axis: 4"), X), "axis 4 does not exist in a bottom of shape 2×3×4×5"),
    (Case(flatten("end_axis: 4"), X), "end_axis 4 does not exist"),
    (Case(flatten("axis: 3 end_axis: 1"), X), "end_axis 1 is before axis 3"),
    (Case('type: "Flatten"', [numbers(3)]), "axis 1 does not exist in a bottom of shape 3"),
    (Case(reshape("2 61"), X), "has 120 elements, the new shape 2×61 has 122"),
    (Case('type: "Reshape"', X), "the new shape scalar has 1"),
    (Case(reshape("7 -1"), X), "no multiple of the 7 that shape [7, -1] fixes"),
    (Case(reshape("0 0 0 0 0"), X), "has no axis 4 to copy"),
    (Case(reshape("0", "axis: -1"), X), "has no axis 4 to copy"),
    (Case(reshape("1", "axis: 5"), X), "axis 5 does not exist"),
    (Case(reshape("1", "axis: -6"), X), "axis -6 does not exist"),
    (Case(reshape("1", "axis: 3 num_axes: 2"), X), "axis 3 and num_axes 2 reach beyond"),
    (Case(reshape("0 -1"), [np.zeros((0, 3), np.float32)]), "no multiple of the 0"),
    (Case(tile("tiles: 2 axis: 4"), X), "axis 4 does not exist"),
    (Case('type: "Crop"', [numbers(2, 3), LIKE]), "axis 2 does not exist in a bottom of shape 2×3"),
    (Case('type: "Crop"', [*X, numbers(2, 3, 4)]), "2×3×4×5, bottom 1 has 2×3×4"),
    (Case('type: "Crop"', [*X, numbers(2, 3, 5, 5)]), "2×3×5×5 at offset 0 reaches beyond axis 2"),
    (Case(crop("offset: 3"), [*X, LIKE]), "at offset 3 reaches beyond axis 2"),
    (Case(crop("axis: 1 offset: 0 offset: 0"), [*X, LIKE]), "has 2 offsets for 3 axes"),
]


@pytest.mark.parametrize(("case", "said"), WRONG, ids=[said for _, said in WRONG])
def test_misfits_are_refused_by_both(oracle: Oracle, case: Case, said: str) -> None:
    assert said in refused_by_both(oracle, case, ShapeError)


WRONG_FIELDS = [
    (Case(reshape("-1 -1"), X), "has 2 dims of -1"),
    (Case(reshape("-2 60"), X), "has a negative size"),
    (Case(reshape("2 60", "num_axes: -2"), X), "num_axes is -2"),
    (Case('type: "Tile"', X), "tile_param.tiles is missing"),
    (Case(tile("tiles: 0"), X), "tile_param.tiles is 0"),
    (Case(tile("tiles: -1"), X), "tile_param.tiles is -1"),
]


@pytest.mark.parametrize(("case", "said"), WRONG_FIELDS, ids=[said for _, said in WRONG_FIELDS])
def test_wrong_fields_are_refused_by_both(oracle: Oracle, case: Case, said: str) -> None:
    assert said in refused_by_both(oracle, case, DefinitionError)


@pytest.mark.parametrize("text", ['type: "Flatten"', reshape("0 -1")])
def test_a_new_shape_copies_nothing(text: str) -> None:
    bottom = torch.ones(2, 3, 4, 5)
    (top,) = make(Case(text, X)).forward([bottom])
    assert top.data_ptr() == bottom.data_ptr()


@pytest.mark.parametrize("text", ['type: "Flatten"', reshape("0 -1")])
def test_a_new_shape_reads_channels_last_in_logical_order(text: str) -> None:
    bottom = torch.randn(2, 3, 4, 5)
    layer = make(Case(text, X))
    (top,) = layer.forward([bottom.contiguous(memory_format=torch.channels_last)])
    assert torch.equal(top, bottom.reshape(2, 60))


def test_reshape_follows_its_bottom() -> None:
    layer = make(Case(reshape("0 -1"), X))
    assert layer.reshape([(7, 3, 2)]) == [(7, 6)]
    assert layer.forward([torch.ones(7, 3, 2)])[0].shape == (7, 6)
