from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle


def batch_norm(fields: str = "", more: str = "") -> str:
    return f'type: "BatchNorm" batch_norm_param {{ {fields} }} {more}'


def statistics(factor: float) -> list[np.ndarray]:
    return [numbers(3, seed=1), np.abs(numbers(3, seed=2)) + 0.1, np.array([factor], np.float32)]


NONE = [np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(1, np.float32)]
MAP = numbers(4, 3, 5, 2, scale=3) + 1
CASES = [
    Case(batch_norm(), [MAP], learnable=NONE, name="first batch"),
    Case(batch_norm(), [MAP], learnable=statistics(2.5), forwards=3, name="third batch"),
    Case(batch_norm(), [MAP], learnable=NONE, in_place=True, name="in place"),
    Case(batch_norm("moving_average_fraction: 0.5 eps: 0.1"), [MAP], learnable=statistics(1),
         name="fraction and eps"),
    Case(batch_norm(), [MAP], learnable=statistics(2.5), phase="TEST", name="test"),
    Case(batch_norm(), [MAP], learnable=statistics(0), phase="TEST", name="test, no factor"),
    Case(batch_norm(), [MAP], learnable=statistics(2), phase="TEST", in_place=True,
         name="test in place"),
    Case(batch_norm("use_global_stats: true"), [MAP], learnable=statistics(2), name="global"),
    Case(batch_norm("use_global_stats: false"), [MAP], learnable=statistics(2), phase="TEST",
         name="test, but of the batch"),
    Case(batch_norm(), [numbers(6, 3)], learnable=NONE, name="rows"),
    Case(batch_norm(), [numbers(2, 3, 2, 2, 2)], learnable=NONE, name="five axes"),
    Case(batch_norm(), [numbers(1, 3)], learnable=statistics(2), name="one value a channel"),
    Case(batch_norm(), [np.ones((4, 3), np.float32)], learnable=NONE, name="constant"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_batch_norm_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize("fields", ["", "use_global_stats: true"])
def test_batch_norm_gradient(fields: str) -> None:
    check_gradient(Case(batch_norm(fields), [numbers(3, 3, 2)], learnable=statistics(2)))


def test_the_statistics_are_never_learned() -> None:
    layer = make(Case(batch_norm(), [MAP], learnable=NONE))
    layer.learns = [True] * 3
    (top,) = layer.forward([torch.tensor(MAP)])
    layer.backward([torch.ones_like(top)], [True])

    assert type(layer).__dict__["forced_lr_mult"] == 0
    assert not any(blob.diff.any() for blob in layer.learnable)


def test_a_param_that_would_learn_is_refused(oracle: Oracle) -> None:
    for param in ("param { lr_mult: 1 }", "param { decay_mult: 0 }"):
        case = Case(batch_norm(more=param), [MAP])

        assert "lr_mult 1" in refused_by_both(oracle, case, DefinitionError)

    make(Case(batch_norm(more="param { lr_mult: 0 }" * 3), [MAP]))


def test_a_bottom_without_channels_is_refused(oracle: Oracle) -> None:
    assert "shape 3" in refused_by_both(oracle, Case(batch_norm(), [numbers(3)]), ShapeError)


def test_another_number_of_channels_is_refused_with_both_shapes() -> None:
    layer = make(Case(batch_norm(), [MAP], learnable=NONE))

    assert layer.reshape([(9, 3, 1)]) == [(9, 3, 1)]
    with pytest.raises(ShapeError) as caught:
        layer.reshape([(4, 5, 5, 2)])
    assert "4×5×5×2" in str(caught.value)
    assert "4×3×5×2" in str(caught.value)
