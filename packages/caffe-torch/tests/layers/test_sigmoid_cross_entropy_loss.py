from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

TYPE = 'type: "SigmoidCrossEntropyLoss"'
FIRST = [True, False]
X = numbers(3, 4, 2, scale=3)
TARGETS = np.random.default_rng(1).integers(-1, 2, (3, 4, 2)).astype(np.float32)
SOFT = np.random.default_rng(1).random((3, 4, 2)).astype(np.float32)
EDGES = np.array([[0, -0.0, 20, -20, 90, -90, 3e38, -1e30]], np.float32)
MODES = ["FULL", "VALID", "BATCH_SIZE", "NONE"]
TEXTS = [
    "",
    "ignore_label: -1",
    *[f"normalization: {mode}" for mode in MODES],
    *[f"ignore_label: -1 normalization: {mode}" for mode in MODES],
    "normalize: true ignore_label: 1",
    "normalize: false ignore_label: 1",
]


def case(text: str, bottoms: list[np.ndarray], name: str = "") -> Case:
    text = f"{TYPE} loss_param {{ {text} }}"
    return Case(text, bottoms, gradients=FIRST, name=name or text)


CASES = [
    *[case(text, [X, TARGETS], name=text) for text in TEXTS],
    case("", [X, SOFT], name="soft targets"),
    case("ignore_label: 0", [X, SOFT], name="soft targets, all cut to the ignored label"),
    case("", [X, TARGETS.reshape(3, 8)], name="other axes"),
    case("", [EDGES, np.ones((1, 8))], name="edges, target 1"),
    case("", [EDGES, np.zeros((1, 8))], name="edges, target 0"),
    case("", [EDGES[:, 2:4], np.array([[1, 0]])], name="a loss too small for 1 + e"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_sigmoid_cross_entropy_loss_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("text", ["", "ignore_label: -1 normalization: VALID"])
def test_sigmoid_cross_entropy_loss_gradient(text: str) -> None:
    check_gradient(case(text, [X, TARGETS]))


def test_a_gradient_to_labels_is_refused() -> None:
    layer = make(case("", [X, TARGETS]))
    layer.forward([torch.tensor(X), torch.tensor(TARGETS)])
    with pytest.raises(DefinitionError, match="cannot backpropagate to label inputs"):
        layer.backward([torch.tensor(1.0)], [True, True])

    assert not layer.may_force_backward(1)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (5, 3)), "the data has shape 4×3 and the label 5×3"),
        (((4, 3), (4,)), "the predictions have shape 4×3, the targets 4;"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    oracle: Oracle, shapes: tuple[tuple[int, ...], ...], message: str
) -> None:
    bottoms = [np.zeros(shape, np.float32) for shape in shapes]

    assert message in refused_by_both(oracle, Case(TYPE, bottoms), ShapeError)
