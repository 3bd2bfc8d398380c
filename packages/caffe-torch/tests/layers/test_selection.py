"""ArgMax, Filter and BatchReindex."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from caffe.errors import DataError, DefinitionError, ShapeError
from layer_checks import (
    Array,
    Case,
    check_gradient,
    compare,
    ids,
    make,
    numbers,
    refused_by_both,
    theirs,
)
from oracle.client import Oracle, OracleAbortedError

X = numbers(3, 4, 5)
TIES = np.array([[1, 3, 3, 0, 3, 1], [0, -0.0, 0, 0, 0, 0]], np.float32)


class Selection(Case):
    """A layer that takes selectors as its last bottom, to which no gradient goes.

    force_backward would ask for one all the same, so the oracle's net has a loss behind and
    Parameter layers, which need a gradient, in front. These lend their tops their own memory in the
    first forward, so what the case wrote there counts from the second on.
    """

    def layer_text(self) -> str:
        return super().layer_text() + " loss_weight: 1" * self.tops

    def net_text(self) -> str:
        text = super().net_text().replace("force_backward: true\n", "")
        for index in range(len(self.bottoms) - 1):
            text = text.replace(
                f'"Input" top: "b{index}" input_param',
                f'"Parameter" top: "b{index}" parameter_param',
            )
        return text


def selection(kind: str, *bottoms: Array, name: str = "", diffs: Sequence[Array] = ()) -> Selection:
    wanted = [True] * (len(bottoms) - 1) + [False]
    tops = 1 if kind == "BatchReindex" else len(bottoms) - 1
    return Selection(
        f'type: "{kind}"', bottoms, tops, wanted, forwards=2, top_diffs=diffs or None, name=name
    )


def argmax(bottom: Array, fields: str, name: str = "") -> Case:
    text = f'type: "ArgMax" argmax_param {{ {fields} }}'
    return Case(text, [bottom], backward=False, name=f"{fields} {name}")


def array(*values: float) -> Array:
    return np.array(values, np.float32)


ARGMAX = [
    argmax(X, ""),
    argmax(X, "top_k: 3"),
    argmax(X, "out_max_val: true top_k: 2"),
    argmax(X, "axis: 1"),
    argmax(X, "axis: 0 top_k: 2"),
    argmax(X, "axis: -1 top_k: 5"),
    argmax(X, "axis: 1 out_max_val: true top_k: 2"),
    argmax(TIES, "top_k: 4", "ties"),
    argmax(TIES, "top_k: 6 out_max_val: true", "ties"),
    argmax(TIES, "axis: 0 top_k: 2", "ties"),
    argmax(numbers(2, 3, 2, 2), "top_k: 2", "four axes"),
    argmax(numbers(2, 2, 2, 2, 2), "top_k: 2", "five axes"),
    argmax(numbers(4), "", "vector"),
    argmax(numbers(4), "axis: 0", "vector"),
]


@pytest.mark.parametrize("case", ARGMAX, ids=ids(ARGMAX))
def test_argmax_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case, tolerance=0)


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ("top_k: 0", DefinitionError, "top_k is 0"),
        ("top_k: 21", ShapeError, "top_k is 21, but a bottom of shape 3×4×5 has 20 values"),
        ("axis: 1 top_k: 5", ShapeError, "top_k is 5, but a bottom of shape 3×4×5 has 4 values"),
        ("axis: 3", ShapeError, "axis 3 does not exist"),
    ],
)
def test_wrong_argmaxes_are_refused_by_both(
    oracle: Oracle, fields: str, error: type[Exception], said: str
) -> None:
    assert said in refused_by_both(oracle, argmax(X, fields), error)


def test_argmax_refuses_a_backward_where_caffe_aborts(oracle: Oracle) -> None:
    case = Case('type: "ArgMax"', [X])
    layer = make(case)
    with pytest.raises(DefinitionError, match=r'"x" \(ArgMax\): has no gradient'):
        layer.backward([torch.zeros(3, 1, 1)], [True])
    with pytest.raises(OracleAbortedError):
        theirs(oracle, case)


@pytest.mark.parametrize(
    "selector", [array(1, 0, 2), array(0, -1, 0), array(1, 1, 1), array(0, 0, 1).reshape(3, 1, 1)]
)
def test_filter_is_the_oracles(oracle: Oracle, selector: Array) -> None:
    count = int(np.count_nonzero(selector))
    bottoms = [X, numbers(3, 2, seed=2), selector]
    diffs = [numbers(count, 4, 5, seed=3), numbers(count, 2, seed=4)]
    case = selection("Filter", *bottoms, diffs=diffs)
    expected = theirs(oracle, case)
    layer = make(case)
    tops = layer.forward([torch.tensor(bottom) for bottom in bottoms])
    found = layer.backward([torch.tensor(diff) for diff in diffs], case.wanted)
    for have, want in zip(tops, expected.tops, strict=True):
        assert np.array_equal(have.numpy(), want)
    assert found[2] is None
    for got, diff in zip(found[:2], expected.bottom_diffs[:2], strict=True):
        assert got is not None
        assert diff is not None
        assert np.array_equal(got.numpy(), diff)


def test_filter_that_chooses_nothing_gives_empty_tops_and_zero_gradients(oracle: Oracle) -> None:
    case = Case('type: "Filter"', [X, array(0, 0, 0)], 1, [True, False], backward=False)
    expected = theirs(oracle, case)
    layer = make(case)
    (top,) = layer.forward([torch.tensor(X), torch.zeros(3)])
    assert top.shape == expected.tops[0].shape == (0, 4, 5)
    (found, _) = layer.backward([top], [True, False])
    assert found is not None
    assert torch.equal(found, torch.zeros(3, 4, 5))


def test_filter_gradient() -> None:
    check_gradient(Case('type: "Filter"', [numbers(3, 2), array(1, 0, 1)], 1, [True, False]))


@pytest.mark.parametrize(
    ("case", "error", "said"),
    [
        (
            Case('type: "Filter"', [X, array(1, 0, 1)], 2, [True, False]),
            DefinitionError,
            "has 2 tops for 2 bottoms",
        ),
        (
            Case('type: "Filter"', [X, array(1, 0)], 1, [True, False]),
            ShapeError,
            "bottom 0 has shape 3×4×5, the selector has 2",
        ),
        (
            Case('type: "Filter"', [X, numbers(3, 2)], 1, [True, False]),
            ShapeError,
            "the selector, bottom 1, has shape 3×2",
        ),
        (
            Case('type: "BatchReindex"', [X, numbers(3, 1)], 1, [True, False]),
            ShapeError,
            "the indices, bottom 1, have shape 3×1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_selections_are_refused_by_both(
    oracle: Oracle, case: Case, error: type[Exception], said: str
) -> None:
    assert said in refused_by_both(oracle, case, error)


REINDEX = [
    selection("BatchReindex", X, array(2, 0, 2, 2, 1), name="several times"),
    selection("BatchReindex", X, array(0), name="one"),
    selection("BatchReindex", X, array(0.9, 2.5), name="fractions"),
    selection("BatchReindex", numbers(4), array(3, 3, 0), name="numbers"),
]


@pytest.mark.parametrize("case", REINDEX, ids=ids(REINDEX))
def test_batch_reindex_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_batch_reindex_gradient() -> None:
    check_gradient(Case('type: "BatchReindex"', [numbers(3, 2), array(2, 0, 2)], 1, [True, False]))


@pytest.mark.parametrize("bad", [-1, -0.5, 3, 7])
def test_an_index_without_an_item_is_refused_where_caffe_aborts(oracle: Oracle, bad: float) -> None:
    case = Case('type: "BatchReindex"', [X, array(0, bad)], 1, [True, False])
    with pytest.raises(DataError, match=f"index {bad} in bottom 1, but bottom 0 of shape 3×4×5"):
        make(case).forward([torch.tensor(bottom) for bottom in case.bottoms])
    with pytest.raises(OracleAbortedError):
        theirs(oracle, case)


@pytest.mark.parametrize("kind", ["Filter", "BatchReindex"])
def test_a_gradient_to_what_selects_is_refused_where_caffe_aborts(
    oracle: Oracle, kind: str
) -> None:
    case = Case(f'type: "{kind}"', [X, array(1, 1, 1)])
    layer = make(case)
    tops = layer.forward([torch.tensor(bottom) for bottom in case.bottoms])
    with pytest.raises(DefinitionError, match="has no gradient to its"):
        layer.backward(tops, [True, True])
    with pytest.raises(OracleAbortedError):
        theirs(oracle, case)
