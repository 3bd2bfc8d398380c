from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import ShapeError
from layer_checks import Case, check_gradient, compare, ids, numbers, refused_by_both
from oracle.client import Oracle

X = [numbers(3, 4, 5)]
EDGES = [np.array([[0, -0.0, 1, -2], [0, 0, 0, 0], [1e18, 1, -1e18, 0]], np.float32)]
OPERATIONS = ["SUM", "ASUM", "SUMSQ", "MEAN"]


def reduction(operation: str, more: str = "") -> str:
    return f'type: "Reduction" reduction_param {{ operation: {operation} {more} }}'


CASES = [
    Case(reduction(operation, more), bottoms, name=f"{operation} {more} {name}")
    for operation in OPERATIONS
    for more, bottoms, name in [
        ("", X, ""),
        ("axis: 1", X, ""),
        ("axis: -1 coeff: -0.3", X, ""),
        ("axis: 1", EDGES, "edges"),
        ("coeff: 0", X, ""),
        ("", [numbers(5)], "vector"),
    ]
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_reduction_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_reduction_gradient(operation: str) -> None:
    check_gradient(Case(reduction(operation, "axis: 1 coeff: 0.7"), [numbers(2, 3, 2)]))


@pytest.mark.parametrize("axis", [3, -4])
def test_an_axis_that_does_not_exist_is_refused_by_both(oracle: Oracle, axis: int) -> None:
    message = refused_by_both(oracle, Case(reduction("SUM", f"axis: {axis}"), X), ShapeError)
    assert f"axis {axis} does not exist in a bottom of shape 3×4×5" in message
