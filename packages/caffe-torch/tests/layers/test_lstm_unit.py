from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

TYPE = 'type: "LSTMUnit"'
BOTH = [True, True, False]
C, GATES = numbers(1, 4, 3), numbers(1, 4, 12, seed=2)


def case(cont: list[float], scale: float = 1, name: str = "") -> Case:
    bottoms = [C * scale, GATES * scale, np.array([cont], np.float32)]
    return Case(TYPE, bottoms, tops=2, gradients=BOTH, name=name)


CASES = [
    case([1, 1, 1, 1], name="goes on"),
    case([0, 1, 0, 1], name="begins"),
    case([0.5, -1, 2, 1], name="cont beside 0 and 1"),
    case([0, 1, 0, 1], 0, name="zeros"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_lstm_unit_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_saturated_gates_are_the_oracles(oracle: Oracle) -> None:
    """As far as 1 − tanh² says anything in float32."""
    compare(oracle, case([0, 1, 0, 1], 50), tolerance=2e-5)


def test_lstm_unit_gradient() -> None:
    check_gradient(case([0, 1, 0, 1]))


def test_a_gradient_to_the_indicators_is_refused() -> None:
    made = case([1, 1, 1, 1])
    layer = make(made)
    layer.forward([torch.tensor(bottom) for bottom in made.bottoms])
    with pytest.raises(DefinitionError, match="cannot backpropagate to sequence indicators"):
        layer.backward([torch.zeros(1, 4, 3)] * 2, [True, True, True])

    assert not layer.may_force_backward(2)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 4, 3), (1, 4, 9), (1, 4)],
        [(2, 4, 3), (2, 4, 12), (2, 4)],
        [(1, 4, 3), (1, 3, 12), (1, 4)],
        [(1, 4, 3), (1, 4, 12), (1, 4, 1)],
        [(4, 3), (4, 12), (4,)],
    ],
)
def test_shapes_that_do_not_fit_are_refused(oracle: Oracle, shapes: list[tuple[int, ...]]) -> None:
    bottoms = [np.zeros(shape, np.float32) for shape in shapes]
    message = refused_by_both(oracle, Case(TYPE, bottoms, tops=2), ShapeError)

    assert "allowed: 1×N×D, 1×N×4D and 1×N" in message
