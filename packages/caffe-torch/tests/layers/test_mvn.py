from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import ShapeError
from layer_checks import Case, check_gradient, compare, ids, numbers, refused_by_both
from oracle.client import Oracle


def mvn(fields: str) -> str:
    return f'type: "MVN" mvn_param {{ {fields} }}'


MAP = numbers(2, 3, 4, 5, scale=3) + 1
CASES = [
    Case(mvn(""), [MAP], name="channels"),
    Case(mvn("across_channels: true"), [MAP], name="images"),
    Case(mvn("normalize_variance: false"), [MAP], name="mean alone"),
    Case(mvn("normalize_variance: false across_channels: true"), [MAP], name="mean of images"),
    Case(mvn("eps: 0.5"), [MAP], name="eps outside the root"),
    Case(mvn(""), [numbers(2, 3, 4)], name="three axes"),
    Case(mvn("across_channels: true"), [numbers(3, 6)], name="rows"),
    Case(mvn("eps: 0.5"), [np.full((1, 2, 3, 3), 4, np.float32)], name="constant"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_mvn_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("fields", ["", "across_channels: true", "normalize_variance: false"])
def test_mvn_gradient(fields: str) -> None:
    check_gradient(Case(mvn(fields), [numbers(2, 2, 3, 2)]))


def test_five_axes_are_refused(oracle: Oracle) -> None:
    case = Case(mvn(""), [numbers(1, 2, 3, 2, 2)])

    assert "1×2×3×2×2" in refused_by_both(oracle, case, ShapeError)
