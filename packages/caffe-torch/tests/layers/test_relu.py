from __future__ import annotations

import numpy as np
import pytest
from layer_checks import Case, check_gradient, compare, ids, numbers
from oracle.client import Oracle

EDGES = np.array([[-1.5, -0.0, 0.0, 2.0, 1e-30, -1e-30, 3e38, -3e38]], np.float32)
CASES = [
    Case('type: "ReLU"', [numbers(3, 4, 5)], name="plain"),
    Case('type: "ReLU"', [numbers(3, 4)], in_place=True, name="in place"),
    Case('type: "ReLU" relu_param { negative_slope: 0.25 }', [numbers(3, 4)], name="leaky"),
    Case('type: "ReLU" relu_param { negative_slope: 0.25 }', [EDGES], name="leaky edges"),
    Case('type: "ReLU"', [EDGES], name="edges"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_relu_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_relu_gradient() -> None:
    check_gradient(Case('type: "ReLU" relu_param { negative_slope: 0.25 }', [numbers(2, 3)]))
