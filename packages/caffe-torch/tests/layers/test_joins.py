"""Concat, Slice, Split and Silence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle

CONCAT = 'type: "Concat" concat_param '
SLICE = 'type: "Slice" slice_param '


def sized(*sizes: tuple[int, ...]) -> list[np.ndarray]:  # type: ignore[type-arg]
    return [numbers(*size, seed=seed) for seed, size in enumerate(sizes)]


CASES = [
    Case('type: "Concat"', sized((2, 3, 4), (2, 1, 4), (2, 2, 4)), name="concat"),
    Case(CONCAT + "{ axis: 0 }", sized((2, 3), (1, 3)), name="concat, axis 0"),
    Case(CONCAT + "{ axis: -1 }", sized((2, 3, 4), (2, 3, 1)), name="concat, axis -1"),
    Case(CONCAT + "{ concat_dim: 0 }", sized((2, 3), (1, 3)), name="concat_dim"),
    Case('type: "Concat"', sized((2, 3)), name="concat of one"),
    Case('type: "Concat"', sized((2, 1), (2, 3)), gradients=[False, True], name="concat, one diff"),
    Case('type: "Slice"', sized((2, 6, 3)), tops=3, name="slice"),
    Case('type: "Slice"', sized((2, 6, 3)), tops=1, name="slice into one"),
    Case(SLICE + "{ axis: 0 }", sized((4, 3)), tops=2, name="slice, axis 0"),
    Case(SLICE + "{ axis: -1 slice_point: 1 }", sized((2, 3, 4)), tops=2, name="slice, axis -1"),
    Case(SLICE + "{ slice_dim: 0 }", sized((4, 3)), tops=2, name="slice_dim"),
    Case(SLICE + "{ slice_point: 1 slice_point: 4 }", sized((2, 6)), tops=3, name="slice points"),
    Case('type: "Split"', sized((2, 3)), tops=1, name="split into one"),
    Case('type: "Split"', sized((2, 3)), tops=2, name="split into two"),
    Case('type: "Split"', sized((2, 3)), tops=4, name="split into four"),
    Case('type: "Silence"', sized((2, 3), (4,)), tops=0, name="silence"),
    Case('type: "Silence"', sized((2, 3), (4,)), tops=0, gradients=[False, True], name="silence 2"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_joins_are_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_is_the_derivative(case: Case) -> None:
    check_gradient(case)


@pytest.mark.parametrize(
    ("case", "error", "said"),
    [
        (Case('type: "Concat"', sized((2, 3), (3, 3))), ShapeError, "2×3, bottom 1 has 3×3"),
        (Case('type: "Concat"', sized((2, 3), (2, 3, 1))), ShapeError, "2×3, bottom 1 has 2×3×1"),
        (Case(CONCAT + "{ axis: 2 }", sized((2, 3))), ShapeError, "axis 2 does not exist"),
        (Case(CONCAT + "{ axis: -3 }", sized((2, 3))), ShapeError, "axis -3 does not exist"),
        (Case(CONCAT + "{ concat_dim: 2 }", sized((2, 3))), ShapeError, "concat_dim 2 does not"),
        (
            Case(CONCAT + "{ concat_dim: 4294967295 }", sized((2, 3))),
            ShapeError,
            "concat_dim 4294967295 does not exist in a bottom of shape 2×3; allowed: 0 to 1",
        ),
        (
            Case(CONCAT + "{ concat_dim: 1 axis: 1 }", sized((2, 3))),
            DefinitionError,
            "has both axis and concat_dim",
        ),
        (Case('type: "Slice"', sized((2, 5)), tops=2), ShapeError, "2 tops do not divide axis 1"),
        (Case(SLICE + "{ axis: 2 }", sized((2, 5))), ShapeError, "axis 2 does not exist"),
        (Case(SLICE + "{ slice_dim: 2 }", sized((2, 5))), ShapeError, "slice_dim 2 does not exist"),
        (
            Case(SLICE + "{ slice_dim: 1 axis: 1 }", sized((2, 3))),
            DefinitionError,
            "has both axis and slice_dim",
        ),
        (
            Case(SLICE + "{ slice_point: 1 }", sized((2, 5)), tops=3),
            DefinitionError,
            "has 1 slice_point for 3 tops",
        ),
        (
            Case(SLICE + "{ slice_point: 3 slice_point: 3 }", sized((2, 5)), tops=3),
            ShapeError,
            "slice_point 3, 3 do not cut axis 1 of a bottom of shape 2×5 into 3 parts",
        ),
        (Case(SLICE + "{ slice_point: 0 }", sized((2, 5)), tops=2), ShapeError, "slice_point 0 do"),
        (Case(SLICE + "{ slice_point: 6 }", sized((2, 5)), tops=2), ShapeError, "slice_point 6 do"),
        (Case(SLICE + "{ slice_point: 5 }", sized((2, 5)), tops=2), ShapeError, "slice_point 5 do"),
        (
            Case(SLICE + "{ slice_point: 1 slice_point: 2 }", sized((2, 2)), tops=3),
            ShapeError,
            "into 3 parts",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_joins_are_refused_by_both(
    oracle: Oracle, case: Case, error: type[Exception], said: str
) -> None:
    assert said in refused_by_both(oracle, case, error)


def test_split_adds_up_the_diffs_that_exist() -> None:
    layer = make(Case('type: "Split"', sized((2, 2)), tops=3))
    bottom = torch.ones(2, 2)
    assert all(top is bottom for top in layer.forward([bottom]))
    diff = torch.full((2, 2), 3.0)
    missing: list[torch.Tensor] = [None, diff, None]  # type: ignore[list-item]
    (alone,) = layer.backward(missing, [True])
    assert alone is diff
    (both,) = layer.backward([diff, missing[0], diff], [True])
    assert both is not None
    assert torch.equal(both, diff * 2)
    assert torch.equal(diff, torch.full((2, 2), 3.0))
    (none,) = layer.backward([missing[0]] * 3, [True])
    assert none is not None
    assert torch.equal(none, torch.zeros(2, 2))


def test_slice_takes_zeros_for_a_diff_that_is_missing() -> None:
    layer = make(Case('type: "Slice"', sized((1, 4)), tops=2))
    layer.forward([torch.ones(1, 4)])
    missing: list[torch.Tensor] = [None, torch.ones(1, 2)]  # type: ignore[list-item]
    (found,) = layer.backward(missing, [True])
    assert found is not None
    assert found.tolist() == [[0, 0, 1, 1]]


def test_slices_and_concats_of_one_copy_nothing() -> None:
    bottom = torch.ones(2, 4)
    first, second = make(Case('type: "Slice"', sized((2, 4)), tops=2)).forward([bottom])
    assert first.data_ptr() == bottom.data_ptr()
    assert second.data_ptr() == bottom[:, 2:].data_ptr()
    (whole,) = make(Case('type: "Concat"', sized((2, 4)))).forward([bottom])
    assert whole is bottom
