from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DataError, DefinitionError
from layer_checks import Case, check_gradient, compare, ids, make, refused_by_both
from oracle.client import Oracle

INDICES = np.array([[0, 4, 2], [4, 4, 1]], np.float32)
FIELDS = "num_output: 3 input_dim: 5"


class Unforced(Case):
    """Caffe aborts where ``force_backward`` asks for the gradient of indices; a loss weight makes
    it go backward all the same."""

    def net_text(self) -> str:
        return super().net_text().replace("force_backward: true\n", "")


def embed(fields: str, indices: np.ndarray = INDICES, name: str = "") -> Case:
    text = f'type: "Embed" loss_weight: 1 embed_param {{ {fields} }}'
    return Unforced(text, [indices], gradients=[False], name=name)


CASES = [
    embed(FIELDS, name="plain"),
    embed(f"{FIELDS} bias_term: false", name="no bias"),
    embed(FIELDS, INDICES[0], name="one axis"),
    embed(FIELDS, INDICES + np.float32(0.75), name="fractions are cut off"),
    embed("num_output: 1 input_dim: 1", np.zeros((2, 1, 2), np.float32), name="one row"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_embed_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_embed_gradient() -> None:
    check_gradient(embed(FIELDS))


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_without_a_row_is_refused(index: int) -> None:
    layer = make(embed(FIELDS))

    with pytest.raises(DataError, match=rf"index {index}; allowed: 0 to .* 4"):
        layer.forward([torch.tensor([0.0, index])])


def test_a_gradient_for_indices_is_refused() -> None:
    layer = make(embed(FIELDS))
    (top,) = layer.forward([torch.tensor(INDICES)])

    assert not layer.may_force_backward(0)
    with pytest.raises(DefinitionError, match="indices"):
        layer.backward([top], [True])


@pytest.mark.parametrize(
    ("fields", "words"), [("input_dim: 5", "num_output"), ("num_output: 5", "input_dim")]
)
def test_missing_sizes_are_refused(oracle: Oracle, fields: str, words: str) -> None:
    assert words in refused_by_both(oracle, embed(fields), DefinitionError)
