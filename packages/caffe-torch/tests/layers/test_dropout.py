from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError
from layer_checks import Case, compare, ids, make, numbers, ours, refused_by_both
from oracle.client import Oracle


def ratio(value: float) -> str:
    return f'type: "Dropout" dropout_param {{ dropout_ratio: {value} }}'


CASES = [
    Case('type: "Dropout"', [numbers(4, 3, 5, 2)], name="half"),
    Case(ratio(0.3), [numbers(40, 30)], name="a third"),
    Case(ratio(0.3), [numbers(40, 30)], in_place=True, name="in place"),
    Case(ratio(0.7), [numbers(40, 30)], seed=1701, name="another seed"),
    Case(ratio(0.7), [numbers(40, 30)], forwards=3, name="the third mask"),
    Case(ratio(0), [numbers(4, 3)], name="none"),
    Case(ratio(1), [numbers(4, 3)], name="all"),
    Case(ratio(0.4), [numbers(4, 3)], phase="TEST", name="test"),
    Case(ratio(0.4), [numbers(4, 3)], phase="TEST", in_place=True, name="test, in place"),
    Case(ratio(2), [numbers(4, 3)], phase="TEST", name="a senseless ratio in test"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_dropout_is_the_oracles_mask_for_mask(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_ratio_that_is_none_is_refused_by_both_in_train(oracle: Oracle, value: float) -> None:
    case = Case(ratio(value), [numbers(4, 3)])
    assert f"dropout_ratio is {value}" in refused_by_both(oracle, case, DefinitionError)


def test_the_mask_does_not_depend_on_the_layout() -> None:
    bottom = numbers(2, 3, 4, 5)
    layer = make(Case(ratio(0.5), [bottom]))
    layer.context.random.seed(7)
    tensor = torch.tensor(bottom).contiguous(memory_format=torch.channels_last)
    (top,) = layer.forward([tensor])
    expected = ours(Case(ratio(0.5), [bottom]))
    assert np.array_equal(top.numpy(), expected.tops[0])


def test_other_devices_draw_from_their_generator_and_scale() -> None:
    """The meta device stands for one that is not the CPU: shapes and layouts, no values."""
    layer = make(Case(ratio(0.5), [numbers(2, 3)]))
    layer.context.random._generators[torch.device("meta")] = torch.Generator()
    (top,) = layer.forward([torch.empty(2, 3, device="meta")])
    assert top.shape == (2, 3)
    assert top.device.type == "meta"
