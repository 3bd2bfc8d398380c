from __future__ import annotations

import pytest
from caffe.errors import DefinitionError
from layer_checks import Case, check_gradient, compare, ids, numbers, refused_by_both
from oracle.client import Oracle


def case(name: str, fields: str, *shape: int) -> Case:
    text = f'type: "Im2col" convolution_param {{ {fields} }}'
    return Case(text, [numbers(*shape)], name=name)


CASES = [
    case("plain", "kernel_size: 3", 2, 3, 6, 5),
    case("pad and stride", "kernel_size: 3 stride: 2 pad: 1", 2, 3, 6, 5),
    case("dilation", "kernel_size: 2 dilation: 3 pad: 1", 2, 3, 6, 5),
    case("h and w", "kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1",
         2, 3, 6, 5),
    case("forced n-d", "kernel_size: 3 force_nd_im2col: true", 2, 3, 6, 5),
    case("one axis", "kernel_size: 3", 2, 3, 6),
    case("three axes", "kernel_size: 2 stride: 2 pad: 1", 2, 2, 4, 3, 5),
    case("four axes", "kernel_size: 2", 1, 2, 3, 2, 3, 2),
    case("axis 2", "kernel_size: 2 axis: 2", 2, 2, 3, 4, 3),
    case("kernel above bottom", "kernel_size: 4 stride: 3", 2, 3, 3, 2),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_im2col_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_im2col_gradient() -> None:
    check_gradient(case("", "kernel_size: 2 dilation: 2 pad: 1", 1, 2, 4, 3))


WRONG = {"": "kernel_size", "kernel_size: 0": "kernel is 0×0", "kernel_size: 7": "2×3×6×5"}


@pytest.mark.parametrize("fields", WRONG)
def test_what_caffe_refuses_is_refused(oracle: Oracle, fields: str) -> None:
    wrong = case("", fields, 2, 3, 6, 5)

    assert WRONG[fields] in refused_by_both(oracle, wrong, DefinitionError)
