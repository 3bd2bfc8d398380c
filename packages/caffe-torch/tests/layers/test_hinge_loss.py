from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DataError, DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

TYPE = 'type: "HingeLoss"'
FIRST = [True, False]
LABELS = np.array([0, 4, 2, 2, 1], np.float32)
EDGES = np.array([[1, -1, -1, 0, 0], [-1, 1, np.inf, 0, 3e38]], np.float32)
CASES = [
    Case(f"{TYPE} hinge_loss_param {{ norm: {norm} }}", bottoms, gradients=FIRST, name=name + norm)
    for norm in ("L1", "L2")
    for name, bottoms in {
        "flat ": [numbers(5, 5), LABELS],
        "more axes ": [numbers(5, 2, 3), LABELS],
        "more labels than samples ": [numbers(5, 5), np.stack([LABELS, LABELS], 1)],
        "label cut ": [numbers(5, 5), LABELS + 0.9],
    }.items()
]
CASES += [
    Case(TYPE, [numbers(5, 5), LABELS], gradients=FIRST, name="L1 by default"),
    Case(TYPE, [EDGES, np.array([0, 1])], gradients=FIRST, name="kinks and infinity"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_hinge_loss_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_loss_gradient(norm: str) -> None:
    text = f"{TYPE} hinge_loss_param {{ norm: {norm} }}"
    check_gradient(Case(text, [numbers(5, 5), LABELS], gradients=FIRST))


def test_a_label_that_is_no_class_and_a_gradient_to_labels_are_refused() -> None:
    layer = make(Case(TYPE, [numbers(5, 4), LABELS]))
    with pytest.raises(DataError, match="label 4 of sample 1 is no class of the 4"):
        layer.forward([torch.zeros(5, 4), torch.tensor(LABELS)])
    with pytest.raises(DefinitionError, match="cannot backpropagate to label inputs"):
        layer.backward([torch.tensor(1.0)], [True, True])

    assert not layer.may_force_backward(1)


def test_another_number_of_labels_is_refused(oracle: Oracle) -> None:
    case = Case(TYPE, [numbers(5, 4), np.zeros(3, np.float32)])

    assert "shape 5×4 and the label 3" in refused_by_both(oracle, case, ShapeError)
