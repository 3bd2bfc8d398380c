from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DataError, DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

TYPE = 'type: "MultinomialLogisticLoss"'
FIRST = [True, False]
PROB = np.exp(numbers(5, 6))
PROB /= PROB.sum(1, keepdims=True)
LABELS = np.array([0, 5, 2, 2, 1], np.float32)
EDGES = np.array([[0, 1e-20, 1e-30], [1, 0, -1], [5e-20, 0, 3e38]], np.float32)
CASES = [
    Case(TYPE, [PROB, LABELS], gradients=FIRST, name="flat"),
    Case(TYPE, [PROB.reshape(5, 3, 2), LABELS], gradients=FIRST, name="more axes"),
    Case(TYPE, [PROB, LABELS.reshape(5, 1, 1, 1)], gradients=FIRST, name="label with more axes"),
    Case(TYPE, [PROB, LABELS + 0.5], gradients=FIRST, name="label cut"),
    *[
        Case(TYPE, [EDGES, np.full(3, label)], gradients=FIRST, name=f"edges {label}")
        for label in range(3)
    ],
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_multinomial_logistic_loss_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_multinomial_logistic_loss_gradient() -> None:
    check_gradient(Case(TYPE, [PROB, LABELS], gradients=FIRST))


def test_a_label_that_is_no_class_and_a_gradient_to_labels_are_refused() -> None:
    layer = make(Case(TYPE, [PROB, LABELS]))
    with pytest.raises(DataError, match="label -1 of sample 4 is no class of the 6"):
        layer.forward([torch.tensor(PROB), torch.tensor([0.0, 0, 0, 0, -1])])
    with pytest.raises(DefinitionError, match="cannot backpropagate to label inputs"):
        layer.backward([torch.tensor(1.0)], [True, True])

    assert not layer.may_force_backward(1)


@pytest.mark.parametrize("shape", [(4,), (5, 2), (5, 1, 1, 2)])
def test_another_number_of_labels_is_refused(oracle: Oracle, shape: tuple[int, ...]) -> None:
    refused_by_both(oracle, Case(TYPE, [PROB, np.zeros(shape, np.float32)]), ShapeError)
