from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle


def lrn(fields: str) -> str:
    return f'type: "LRN" lrn_param {{ {fields} }}'


WITHIN = "norm_region: WITHIN_CHANNEL"
CASES = [
    Case(lrn(""), [numbers(2, 7, 3, 4)], name="plain"),
    Case(lrn("local_size: 5 alpha: 1e-4 beta: 0.75"), [numbers(2, 9, 3, 4, scale=40)], name="nets"),
    Case(lrn("local_size: 3 beta: 0.6 k: 2"), [numbers(2, 7, 3, 4)], name="k and beta"),
    Case(lrn("local_size: 1"), [numbers(2, 4, 3, 4)], name="one channel wide"),
    Case(lrn("local_size: 9"), [numbers(2, 3, 3, 4)], name="wider than the channels"),
    Case(lrn(""), [numbers(2, 1, 3, 4)], name="one channel"),
    Case(lrn(""), [np.zeros((1, 6, 2, 2), np.float32)], name="zeros"),
    Case(lrn(""), [numbers(1, 6, 2, 2, scale=1e12)], name="large"),
    Case(lrn(WITHIN), [numbers(2, 3, 8, 7)], name="within"),
    Case(lrn(f"{WITHIN} local_size: 3 alpha: 5e-5 k: 2"), [numbers(2, 3, 8, 7)], name="within, k"),
    Case(lrn(f"{WITHIN} local_size: 7"), [numbers(2, 3, 4, 3)], name="within, wide"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_lrn_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("fields", ["", "k: 2 beta: 0.6", f"{WITHIN} local_size: 3"])
def test_lrn_gradient(fields: str) -> None:
    check_gradient(Case(lrn(fields), [numbers(1, 6, 3, 3)]))


def test_the_layout_of_the_bottom_is_kept_and_changes_nothing() -> None:
    layer = make(Case(lrn(""), [numbers(2, 7, 3, 4)]))
    plain = torch.tensor(numbers(2, 7, 3, 4))
    last = plain.contiguous(memory_format=torch.channels_last)
    (first,) = layer.forward([plain])
    (second,) = layer.forward([last])

    assert second.stride() == last.stride()
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def test_an_even_window_is_refused(oracle: Oracle) -> None:
    case = Case(lrn("local_size: 4"), [numbers(2, 7, 3, 4)])

    assert "local_size is 4" in refused_by_both(oracle, case, DefinitionError)


def test_a_bottom_without_four_axes_is_refused(oracle: Oracle) -> None:
    assert "7×3" in refused_by_both(oracle, Case(lrn(""), [numbers(7, 3)]), ShapeError)
