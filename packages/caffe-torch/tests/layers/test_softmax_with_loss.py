from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from caffe.errors import DataError, DefinitionError, ShapeError
from layer_checks import (
    Case,
    check_gradient,
    compare,
    ids,
    make,
    numbers,
    ours,
    refused_by_both,
    theirs,
)
from oracle.client import Oracle, OracleAbortedError

TYPE = 'type: "SoftmaxWithLoss"'
FIRST = [True, False]


def labels(*shape: int, classes: int = 5, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, shape).astype(np.float32)


def case(text: str = "", tops: int = 1, name: str = "") -> Case:
    """Predictions 3×5×2×4 with labels 3×2×4."""
    bottoms = [numbers(3, 5, 2, 4), labels(3, 2, 4)]
    diffs = [np.float32(0.7), np.full((3, 5, 2, 4), 9.0)][:tops]
    return Case(
        f"{TYPE} {text}", bottoms, tops=tops, gradients=FIRST, top_diffs=diffs, name=name or text
    )


EXTREME = np.array([[100, 0, -100, 0, 0], [0, 0, 0, 0, 0], [3e38, -3e38, 0, 1, 2]], np.float32)
MODES = ["FULL", "VALID", "BATCH_SIZE", "NONE"]
CASES = [
    Case(TYPE, [numbers(6, 5), labels(6)], gradients=FIRST, name="flat"),
    Case(TYPE, [numbers(6, 5), labels(6, 1, 1, 1)], gradients=FIRST, name="label with axes of one"),
    Case(TYPE, [EXTREME, np.array([2, 1, 1])], gradients=FIRST, name="clamped probability"),
    Case(TYPE, [numbers(3, 5), np.array([1.9, 0.99, 4.5])], gradients=FIRST, name="label cut"),
    Case(TYPE, [numbers(3, 1), np.zeros(3)], gradients=FIRST, name="one class"),
    Case(
        f"{TYPE} loss_param {{ ignore_label: 0 }}",
        [numbers(3, 5), np.zeros(3)],
        gradients=FIRST,
        name="nothing but ignored labels",
    ),
    Case(
        f"{TYPE} softmax_param {{ axis: -1 }}",
        [numbers(3, 2, 5), labels(3, 2)],
        gradients=FIRST,
        name="axis -1",
    ),
    Case(
        f"{TYPE} softmax_param {{ axis: 0 }}",
        [numbers(5, 5), labels(5)],
        gradients=FIRST,
        name="axis 0",
    ),
    case(),
    *[case(f"loss_param {{ normalization: {mode} }}") for mode in MODES],
    *[case(f"loss_param {{ ignore_label: 3 normalization: {mode} }}") for mode in MODES],
    case("loss_param { normalize: true }"),
    case("loss_param { normalize: false }"),
    case("loss_param { normalize: false normalization: FULL }"),
    case("loss_param { ignore_label: -1 }"),
    case("loss_weight: 3"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_softmax_with_loss_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_an_ignored_label_may_be_out_of_range(oracle: Oracle) -> None:
    compare(
        oracle,
        Case(
            f"{TYPE} loss_param {{ ignore_label: 255 }}",
            [numbers(4, 5), np.array([0, 255, 4, 255])],
            gradients=FIRST,
        ),
    )


@pytest.mark.parametrize("text", ["", "loss_param { ignore_label: 3 normalization: BATCH_SIZE }"])
def test_softmax_with_loss_gradient(text: str) -> None:
    check_gradient(Case(f"{TYPE} {text}", [numbers(2, 5, 3), labels(2, 3)], gradients=FIRST))


@pytest.mark.parametrize("label", [5.0, -1.0, 1e9, float("nan")])
def test_a_label_that_is_no_class_is_refused(label: float) -> None:
    layer = make(Case(f"{TYPE} loss_param {{ ignore_label: 9 }}", [numbers(3, 5), labels(3)]))
    with pytest.raises(DataError) as caught:
        layer.forward([torch.zeros(3, 5), torch.tensor([9.0, 0.0, label])])

    assert "of sample 2 is no class of the 5" in str(caught.value)
    assert "allowed: 0 to 4, or ignore_label 9" in str(caught.value)
    if label == 5:
        assert "label 5 of sample 2" in str(caught.value)


def test_a_gradient_to_labels_is_refused() -> None:
    layer = make(Case(TYPE, [numbers(3, 5), labels(3)]))
    layer.forward([torch.zeros(3, 5), torch.zeros(3)])
    with pytest.raises(DefinitionError, match=r'cannot backpropagate to label inputs, .*"b1"'):
        layer.backward([torch.tensor(1.0)], [True, True])

    assert [layer.may_force_backward(index) for index in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("shapes", "text", "message"),
    [
        (((3, 5), (4,)), "", "the data has shape 3×5 and the label 4"),
        (((3, 5), (3, 2)), "", r"6 labels \(shape 3×2\) for predictions of shape 3×5 .*3 labels"),
        (((3, 5), (3,)), "softmax_param { axis: 2 }", "axis 2 does not exist .* allowed: -2 to 1"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    oracle: Oracle, shapes: tuple[tuple[int, ...], ...], text: str, message: str
) -> None:
    bottoms = [np.zeros(shape, np.float32) for shape in shapes]

    assert re.search(message, refused_by_both(oracle, Case(f"{TYPE} {text}", bottoms), ShapeError))


def test_the_second_top_has_the_probabilities_and_no_gradient(oracle: Oracle) -> None:
    one, two = case(), case("loss_weight: 1 loss_weight: 0", tops=2)
    softmax = Case('type: "Softmax"', one.bottoms[:1], backward=False)
    found, alone = ours(two), ours(one)

    assert found.tops[0] == alone.tops[0]
    np.testing.assert_allclose(found.tops[1], theirs(oracle, softmax).tops[0], rtol=0, atol=1e-6)
    assert np.array_equal(found.bottom_diffs[0], alone.bottom_diffs[0])
    with pytest.raises(OracleAbortedError, match="loss_weight must be unspecified"):
        theirs(oracle, two)
