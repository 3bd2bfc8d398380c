from __future__ import annotations

import pytest
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle


def case(name: str, fields: str, *shape: int, count: int = 1) -> Case:
    bottoms = [numbers(*shape, seed=20 + i) for i in range(count)]
    text = f'type: "Deconvolution" convolution_param {{ {fields} }}'
    return Case(text, bottoms, tops=count, name=name)


CASES = [
    case("plain", "num_output: 4 kernel_size: 3", 2, 3, 5, 4),
    case("upsampling", "num_output: 4 kernel_size: 4 stride: 2 pad: 1", 2, 3, 5, 4),
    case("no bias", "num_output: 4 kernel_size: 3 bias_term: false", 2, 3, 5, 4),
    case("group", "num_output: 6 kernel_size: 3 group: 2 stride: 2", 2, 4, 5, 4),
    case("group a channel", "num_output: 4 kernel_size: 4 group: 4 stride: 2 pad: 1", 2, 4, 5, 4),
    case("dilation", "num_output: 4 kernel_size: 3 dilation: 2 pad: 1", 2, 3, 5, 4),
    case("h and w", "num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3", 2, 3, 5, 4),
    case("point", "num_output: 4 kernel_size: 1", 2, 3, 5, 4),
    case("stride above kernel", "num_output: 4 kernel_size: 1 stride: 3", 2, 3, 5, 4),
    case("one axis", "num_output: 4 kernel_size: 3 stride: 2", 2, 3, 5),
    case("three axes", "num_output: 4 kernel_size: 2 stride: 2", 2, 3, 2, 3, 4),
    case("no spatial axis", "num_output: 4 kernel_size: 1", 5, 3),
    case("axis 2", "num_output: 4 kernel_size: 3 axis: 2", 2, 2, 3, 5, 4),
    case("two bottoms", "num_output: 4 kernel_size: 3", 2, 3, 5, 4, count=2),
    case("one channel", "num_output: 3 kernel_size: 3", 2, 1, 5, 4),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_deconvolution_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("num_output: 2 kernel_size: 3 stride: 2 pad: 1", (2, 2, 3, 2)),
        ("num_output: 2 kernel_size: 2 group: 2 dilation: 2", (1, 2, 3, 2)),
    ],
)
def test_deconvolution_gradient(fields: str, shape: tuple[int, ...]) -> None:
    check_gradient(case("", fields, *shape))


WRONG = {
    "kernel_size: 3": "num_output is 0",
    "num_output: 4": "kernel_size",
    "num_output: 4 kernel_size: 3 group: 2": "group 2 does not divide 3 channels",
    "num_output: 4 kernel_size: 1 pad: 3": "2×3×5×4",
}


@pytest.mark.parametrize("fields", WRONG)
def test_what_caffe_refuses_is_refused(oracle: Oracle, fields: str) -> None:
    wrong = case("", fields, 2, 3, 5, 4)

    assert WRONG[fields] in refused_by_both(oracle, wrong, DefinitionError)


def test_other_channels_are_refused_with_both_shapes() -> None:
    layer = make(case("", "num_output: 4 kernel_size: 3", 2, 3, 5, 4))

    with pytest.raises(ShapeError) as caught:
        layer.reshape([(2, 4, 5, 4)])
    assert "2×4×5×4" in str(caught.value)
    assert "2×3×5×4" in str(caught.value)
