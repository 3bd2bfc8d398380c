from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle


def inner_product(fields: str) -> str:
    return f'type: "InnerProduct" inner_product_param {{ {fields} }}'


CASES = [
    Case(inner_product("num_output: 7"), [numbers(5, 3, 4, 2)], name="map"),
    Case(inner_product("num_output: 7"), [numbers(5, 6)], name="rows"),
    Case(inner_product("num_output: 7 bias_term: false"), [numbers(5, 6)], name="no bias"),
    Case(inner_product("num_output: 7 transpose: true"), [numbers(5, 6)], name="transposed"),
    Case(inner_product("num_output: 3 axis: 2"), [numbers(2, 5, 3, 4)], name="axis 2"),
    Case(inner_product("num_output: 3 axis: -1"), [numbers(2, 5, 4)], name="last axis"),
    Case(inner_product("num_output: 3 axis: 0"), [numbers(2, 5)], name="axis 0"),
    Case(inner_product("num_output: 1"), [numbers(1, 1)], name="one number"),
    Case(inner_product("num_output: 50"), [numbers(16, 400, scale=30)], name="long rows"),
    Case(inner_product("num_output: 3"), [np.zeros((2, 4), np.float32)], name="zeros"),
    Case(inner_product("num_output: 3"), [numbers(2, 4)], gradients=[False], name="no bottom diff"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_inner_product_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("fields", ["num_output: 3", "num_output: 3 transpose: true axis: 2"])
def test_inner_product_gradient(fields: str) -> None:
    check_gradient(Case(inner_product(fields), [numbers(2, 3, 2)]))


def test_a_bottom_in_channels_last_is_flattened_in_the_order_of_its_shape() -> None:
    case = Case(inner_product("num_output: 3"), [numbers(2, 3, 4, 5)])
    layer = make(case)
    x = torch.tensor(case.bottoms[0])
    (plain,) = layer.forward([x])
    (last,) = layer.forward([x.contiguous(memory_format=torch.channels_last)])

    assert torch.equal(plain, last)


def test_gradients_add_up_and_only_where_the_layer_learns() -> None:
    layer = make(Case(inner_product("num_output: 3"), [numbers(2, 4)]))
    (top,) = layer.forward([torch.tensor(numbers(2, 4))])
    layer.backward([torch.ones_like(top)], [False])
    once = layer.learnable[0].diff.clone()
    layer.learns = [True, False]
    layer.backward([torch.ones_like(top)], [False])

    torch.testing.assert_close(layer.learnable[0].diff, 2 * once)
    assert torch.equal(layer.learnable[1].diff, torch.full((3,), 2.0))


def test_a_bottom_that_changes_its_size_is_refused_with_both_shapes() -> None:
    layer = make(Case(inner_product("num_output: 3"), [numbers(2, 4, 5)]))

    assert layer.reshape([(7, 4, 5)]) == [(7, 3)]
    with pytest.raises(ShapeError, match=r"2×4×5.*") as caught:
        layer.reshape([(2, 4, 6)])
    assert "2×4×6" in str(caught.value)
    assert "3×20" in str(caught.value)


def test_an_axis_that_does_not_exist_is_refused(oracle: Oracle) -> None:
    case = Case(inner_product("num_output: 3 axis: 2"), [numbers(2, 4)])

    assert "axis 2" in refused_by_both(oracle, case, ShapeError)


def test_no_outputs_are_refused() -> None:
    with pytest.raises(DefinitionError, match="num_output is 0"):
        make(Case(inner_product(""), [numbers(2, 4)]))
