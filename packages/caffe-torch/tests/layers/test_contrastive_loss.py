from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

TYPE = 'type: "ContrastiveLoss"'
BOTH = [True, True, False]
A, B = numbers(8, 3, scale=0.4), numbers(8, 3, seed=12, scale=0.4)
ALIKE = np.array([0, 1, 0, 1, 0, 0, 1, 0], np.float32)
ODD = np.array([0.9, -0.9, 2, -1, 1.5, 0, 0, 0], np.float32)
TEXTS = ["", "margin: 2", "legacy_version: true", "margin: 0.7 legacy_version: true"]


def case(
    text: str, bottoms: list[np.ndarray], gradients: list[bool] = BOTH, name: str = ""
) -> Case:
    text = f"{TYPE} contrastive_loss_param {{ {text} }}"
    return Case(text, bottoms, gradients=gradients, name=name or text)


CASES = [
    *[case(text, [A, B, ALIKE], name=text) for text in TEXTS],
    *[case(text, [A, A, ALIKE], name=f"no distance {text}") for text in TEXTS],
    case("margin: 2", [A, B, ODD], name="labels cut"),
    case("margin: 2", [A, B, ALIKE], [True, False, False], name="first gradient"),
    case("margin: 2", [A, B, ALIKE], [False, True, False], name="second gradient"),
    case("", [A[..., None, None], B, ALIKE[:, None]], name="more axes of one"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_contrastive_loss_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize(("text", "tolerance"), [(TEXTS[1], 1e-4), (TEXTS[3], 1e-6)])
def test_contrastive_loss_gradient(text: str, tolerance: float) -> None:
    """But for the 1e-4 that Caffe adds to the distance."""
    check_gradient(case(text, [A, B, ALIKE]), tolerance=tolerance)


def test_a_gradient_to_labels_is_refused() -> None:
    layer = make(case("", [A, B, ALIKE]))
    layer.forward([torch.tensor(each) for each in (A, B, ALIKE)])
    with pytest.raises(DefinitionError, match="cannot backpropagate to label inputs"):
        layer.backward([torch.tensor(1.0)], [True, True, True])

    assert [layer.may_force_backward(index) for index in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (5, 3), (4,)), "shape 4×3 and the label 5×3"),
        (((4, 3), (4, 2), (4,)), "its features have shapes 4×3 and 4×2"),
        (((4, 3, 2), (4, 3, 2), (4,)), "its features have shapes 4×3×2 and 4×3×2"),
        (((4, 3), (4, 3), (4, 2)), "the label has shape 4×2; allowed: 4"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    oracle: Oracle, shapes: tuple[tuple[int, ...], ...], message: str
) -> None:
    bottoms = [np.zeros(shape, np.float32) for shape in shapes]

    assert message in refused_by_both(oracle, Case(TYPE, bottoms), ShapeError)
