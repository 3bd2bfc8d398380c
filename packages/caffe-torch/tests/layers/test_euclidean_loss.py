from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import ShapeError
from layer_checks import Case, check_gradient, compare, ids, numbers, refused_by_both
from oracle.client import Oracle

TYPE = 'type: "EuclideanLoss"'
A, B = numbers(4, 3, 2), numbers(4, 3, 2, seed=12)
CASES = [
    Case(TYPE, [A, B], name="both gradients"),
    Case(TYPE, [A, B], gradients=[True, False], name="first gradient"),
    Case(TYPE, [A, B], gradients=[False, True], name="second gradient"),
    Case(TYPE, [A, B.reshape(4, 6)], name="other axes"),
    Case(TYPE, [A[:, 0, 0], B[:, :1, :1]], name="one number a sample"),
    Case(TYPE, [A, A], name="equal"),
    Case(TYPE, [A * 1e19, -B * 1e19], name="overflow"),
    Case(f"{TYPE} loss_weight: 0.25", [A, B], top_diffs=[np.float32(-3)], name="weight"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_euclidean_loss_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_euclidean_loss_gradient() -> None:
    check_gradient(Case(TYPE, [A, B]))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (5, 3)), "the data has shape 4×3 and the label 5×3"),
        (((4, 3), (4, 2)), "its bottoms have shapes 4×3 and 4×2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    oracle: Oracle, shapes: tuple[tuple[int, ...], ...], message: str
) -> None:
    case = Case(TYPE, [np.zeros(shape, np.float32) for shape in shapes])

    assert message in refused_by_both(oracle, case, ShapeError)
