from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from caffe.errors import DataError, DefinitionError, ShapeError
from layer_checks import Case, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

TYPE = 'type: "Accuracy"'
RANDOM = np.random.default_rng(4)
TIES = RANDOM.integers(0, 3, (40, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, 40).astype(np.float32)
PLACES = [RANDOM.integers(0, 3, (3, 5, 2, 4)), RANDOM.integers(0, 5, (3, 2, 4))]
WITH_NAN = np.where(RANDOM.random((40, 5)) < 0.3, np.nan, TIES)


def case(text: str, bottoms: list[np.ndarray], tops: int = 1, name: str = "") -> Case:
    return Case(
        f"{TYPE} accuracy_param {{ {text} }}", bottoms, tops=tops, backward=False,
        name=name or f"{text} {tops} tops",
    )  # fmt: skip


CASES = [
    case("", [numbers(40, 5), LABELS], name="no ties"),
    *[
        case(text, [TIES, LABELS], tops)
        for text in ("", "top_k: 2", "top_k: 5", "ignore_label: 2", "ignore_label: 2 top_k: 3")
        for tops in (1, 2)
    ],
    case("", [WITH_NAN, LABELS], 2, name="scores of NaN"),
    case("", PLACES, 2, name="places"),
    case("axis: -1", [PLACES[0], RANDOM.integers(0, 4, (3, 5, 2))], 2),
    case("axis: 0", [TIES[:4], np.array([0, 3, 1, 1, 2])], 2),
    case("ignore_label: 1", [TIES, np.ones(40)], 2, name="nothing but ignored labels"),
    case("ignore_label: 255", [TIES, np.where(LABELS == 1, 255, LABELS)], 2),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_accuracy_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case, tolerance=1e-7)


def test_a_label_that_is_no_class_is_refused() -> None:
    layer = make(case("", [TIES, LABELS]))
    with pytest.raises(DataError, match="label 7 of sample 39 is no class of the 5"):
        layer.forward([torch.tensor(TIES), torch.cat([torch.zeros(39), torch.tensor([7.0])])])


def test_a_wanted_gradient_is_refused() -> None:
    layer = make(case("", [TIES, LABELS]))
    layer.forward([torch.tensor(TIES), torch.tensor(LABELS)])
    with pytest.raises(DefinitionError, match="has no gradient"):
        layer.backward([torch.tensor(1.0)], [True, False])


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ("top_k: 6", ((4, 5), (4,)), "top_k is 6, and 5 classes are predicted"),
        ("", ((4, 5), (3,)), "3 labels (shape 3) for predictions of shape 4×5"),
        ("axis: 2", ((4, 5), (4,)), "axis 2 does not exist"),
    ],
)
def test_wrong_definitions_are_refused(
    oracle: Oracle, text: str, shapes: tuple[tuple[int, ...], ...], message: str
) -> None:
    bottoms = [np.zeros(shape, np.float32) for shape in shapes]
    expected = DefinitionError if "top_k" in text else ShapeError

    assert re.search(re.escape(message), refused_by_both(oracle, case(text, bottoms), expected))
