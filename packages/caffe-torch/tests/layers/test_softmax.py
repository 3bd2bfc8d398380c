from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import ShapeError
from layer_checks import Case, check_gradient, compare, ids, numbers, refused_by_both
from oracle.client import Oracle

EDGES = np.array(
    [[100, -100, 0, 0], [3e38, -3e38, 0, 1], [-1e4, -1e4, -1e4, -1e4], [88, 89, -88, 1e-30]],
    np.float32,
)
CASES = [
    Case('type: "Softmax"', [numbers(5, 10)], name="rows"),
    Case('type: "Softmax"', [numbers(2, 4, 3, 5)], name="channels of a map"),
    Case('type: "Softmax" softmax_param { axis: 0 }', [numbers(3, 4)], name="axis 0"),
    Case('type: "Softmax" softmax_param { axis: -1 }', [numbers(3, 4, 2)], name="last axis"),
    Case('type: "Softmax"', [numbers(5, 1, 3)], name="one class"),
    Case('type: "Softmax"', [numbers(5, 10)], in_place=True, name="in place"),
    Case('type: "Softmax"', [EDGES], name="edges"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_softmax_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_softmax_gradient() -> None:
    check_gradient(Case('type: "Softmax"', [numbers(2, 4, 3)]))


def test_softmax_of_an_axis_that_does_not_exist_is_refused(oracle: Oracle) -> None:
    case = Case('type: "Softmax" softmax_param { axis: 2 }', [numbers(3, 4)])

    message = refused_by_both(oracle, case, ShapeError)

    assert "axis 2" in message
    assert "3×4" in message
