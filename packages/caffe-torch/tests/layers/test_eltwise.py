from __future__ import annotations

import numpy as np
import pytest
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, numbers, refused_by_both
from oracle.client import Oracle


def eltwise(fields: str) -> str:
    return f'type: "Eltwise" eltwise_param {{ {fields} }}'


THREE = [numbers(2, 3, 4, seed=seed) for seed in (1, 2, 3)]
TIES = [
    np.array([[0, 1, 1, -0.0, 2, 5, 5, -1, 3e38, -3e38]], np.float32),
    np.array([[0, 1, 0, 0.0, 2, 5, 1, -1, -3e38, -3e38]], np.float32),
    np.array([[0, 0, 1, 0.0, 2, 6, 5, -1, 1, -3e38]], np.float32),
]
ZEROS = [np.array([[0, 0, 2]], np.float32), np.array([[3, 0, 4]], np.float32)]
CASES = [
    Case('type: "Eltwise"', THREE, name="sum of three"),
    Case('type: "Eltwise"', THREE[:2], gradients=[False, True], name="gradient to one"),
    Case(eltwise("coeff: 1 coeff: -1"), THREE[:2], name="difference"),
    Case(eltwise("coeff: 0.3 coeff: 0 coeff: -2.5"), THREE, name="coefficients"),
    Case(eltwise("operation: PROD"), THREE[:2], name="product"),
    Case(eltwise("operation: PROD"), THREE, name="product of three"),
    Case(eltwise("operation: PROD"), ZEROS, name="product with zeros"),
    Case(eltwise("operation: PROD"), THREE, gradients=[True, False, True], name="product, two"),
    Case(eltwise("operation: PROD stable_prod_grad: false"), THREE, name="unstable"),
    Case(eltwise("operation: PROD stable_prod_grad: false"), ZEROS, name="unstable with zeros"),
    Case(eltwise("operation: MAX"), THREE, name="maximum"),
    Case(eltwise("operation: MAX"), TIES[:2], name="tie of two"),
    Case(eltwise("operation: MAX"), TIES, name="ties of three"),
    Case(eltwise("operation: MAX"), TIES, gradients=[True, False, True], name="maximum, two"),
    Case(eltwise("operation: MAX coeff: 2 coeff: 3"), TIES[:2], name="maximum ignores coeff"),
    Case('type: "Eltwise"', [np.float32(2), np.float32(3)], name="scalars"),  # type: ignore[list-item]
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_eltwise_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize(
    "fields",
    [
        "coeff: 0.5 coeff: 1 coeff: -2",
        "operation: PROD",
        "operation: PROD stable_prod_grad: false",
        "operation: MAX",
    ],
)
def test_eltwise_gradient(fields: str) -> None:
    check_gradient(Case(eltwise(fields), [numbers(2, 3, seed=seed) for seed in (4, 5, 6)]))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("coeff: 1", "has 1 coeff for 2 bottoms"),
        ("coeff: 1 coeff: 1 coeff: 1", "has 3 coeff for 2 bottoms"),
        ("operation: PROD coeff: 1 coeff: 2", "has coeff with PROD"),
        ("operation: MAX coeff: 1", "has 1 coeff for 2 bottoms"),
    ],
)
def test_wrong_coefficients_are_refused_by_both(oracle: Oracle, fields: str, said: str) -> None:
    assert said in refused_by_both(oracle, Case(eltwise(fields), THREE[:2]), DefinitionError)


@pytest.mark.parametrize("other", [(2, 3), (2, 4, 3), (2, 3, 4, 1)])
def test_other_shapes_are_refused_by_both(oracle: Oracle, other: tuple[int, ...]) -> None:
    message = refused_by_both(
        oracle, Case('type: "Eltwise"', [*THREE[:2], numbers(*other)]), ShapeError
    )
    shape = "×".join(map(str, other))
    assert f"bottom 0 has shape 2×3×4, bottom 2 has {shape};" in message
