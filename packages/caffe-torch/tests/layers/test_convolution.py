from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import Case, check_gradient, compare, ids, make, numbers, refused_by_both
from oracle.client import Oracle


def convolution(fields: str) -> str:
    return f'type: "Convolution" convolution_param {{ {fields} }}'


def case(name: str, fields: str, *shape: int, count: int = 1) -> Case:
    bottoms = [numbers(*shape, seed=20 + i) for i in range(count)]
    return Case(convolution(fields), bottoms, tops=count, name=name)


CASES = [
    case("LeNet", "num_output: 6 kernel_size: 5", 3, 1, 12, 12),
    case("pad and stride", "num_output: 4 kernel_size: 3 stride: 2 pad: 1", 2, 3, 9, 8),
    case("no bias", "num_output: 4 kernel_size: 3 bias_term: false", 2, 3, 6, 5),
    case("group", "num_output: 6 kernel_size: 3 group: 2 pad: 1", 2, 4, 6, 5),
    case("group a channel", "num_output: 8 kernel_size: 3 group: 4 pad: 1", 2, 4, 6, 5),
    case("point", "num_output: 5 kernel_size: 1", 2, 3, 6, 5),
    case("point with stride", "num_output: 5 kernel_size: 1 stride: 2", 2, 3, 6, 5),
    case("dilation", "num_output: 4 kernel_size: 3 dilation: 2 pad: 2", 2, 3, 9, 8),
    case("dilation an axis", "num_output: 4 kernel_size: 3 dilation: 2 dilation: 1", 2, 3, 9, 8),
    case(
        "h and w",
        "num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1",
        2, 3, 7, 6,
    ),
    case("kernel an axis", "num_output: 4 kernel_size: 3 kernel_size: 1 pad: 1 pad: 0", 2, 3, 7, 6),
    case("one axis", "num_output: 4 kernel_size: 3 stride: 2 pad: 1", 2, 3, 9),
    case("three axes", "num_output: 4 kernel_size: 2 stride: 2 pad: 1", 2, 3, 5, 4, 6),
    case(
        "three axes apart",
        "num_output: 6 kernel_size: 1 kernel_size: 2 kernel_size: 3 group: 3",
        2, 3, 5, 4, 6,
    ),
    case("no spatial axis", "num_output: 4 kernel_size: 1", 5, 3),
    case("forced n-d", "num_output: 4 kernel_size: 3 force_nd_im2col: true", 2, 3, 6, 5),
    case("axis 2", "num_output: 4 axis: 2 kernel_size: 3", 2, 2, 3, 6, 5),
    case("axis from the end", "num_output: 4 axis: -2 kernel_size: 3 pad: 1", 2, 2, 3, 6),
    case("axis 0", "num_output: 4 axis: 0 kernel_size: 2", 3, 6, 5),
    case("two bottoms", "num_output: 4 kernel_size: 3", 2, 3, 6, 5, count=2),
    case("kernel above bottom", "num_output: 4 kernel_size: 4 stride: 3", 2, 3, 3, 2),
    case("kernel above one axis", "num_output: 4 kernel_size: 3 stride: 2 pad_h: 0 pad_w: 1",
         2, 3, 2, 5),
    case("one element", "num_output: 1 kernel_size: 1", 1, 1, 1, 1),
    Case(convolution("num_output: 2 kernel_size: 3"), [np.zeros((1, 2, 4, 4), np.float32)],
         name="zeros"),
    Case(convolution("num_output: 2 kernel_size: 3"), [numbers(1, 2, 4, 4)], gradients=[False],
         name="no bottom diff"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_convolution_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


def test_convolution_over_large_sums_is_the_oracles(oracle: Oracle) -> None:
    compare(
        oracle, case("", "num_output: 50 kernel_size: 5 stride: 1", 8, 20, 12, 12), tolerance=5e-6
    )


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("num_output: 2 kernel_size: 3 stride: 2 pad: 1", (2, 2, 4, 3)),
        ("num_output: 2 kernel_size: 2 group: 2 dilation: 2", (1, 2, 4, 3)),
        ("num_output: 2 kernel_size: 2", (2, 2, 4)),
        ("num_output: 2 kernel_size: 3 stride: 2", (1, 2, 2, 3)),
    ],
)
def test_convolution_gradient(fields: str, shape: tuple[int, ...]) -> None:
    check_gradient(case("", fields, *shape))


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_layout_of_bottoms_and_diffs_changes_nothing(kernel: int) -> None:
    layer = make(case("", f"num_output: 4 kernel_size: {kernel}", 2, 3, 6, 5))
    plain = torch.tensor(numbers(2, 3, 6, 5))
    last = plain.contiguous(memory_format=torch.channels_last)
    results = []
    for x in (plain, last):
        for change in (torch.contiguous_format, torch.channels_last):
            (top,) = layer.forward([x])
            diff = torch.tensor(numbers(*top.shape)).contiguous(memory_format=change)
            for blob in layer.learnable:
                blob.diff.zero_()
            (gradient,) = layer.backward([diff], [True])
            assert gradient is not None
            results.append([top, gradient, *(blob.diff.clone() for blob in layer.learnable)])
    for other in results[1:]:
        torch.testing.assert_close(results[0], other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_top_is_in_channels_last_for_the_pooling_after_it(channels: int) -> None:
    layer = make(case("", "num_output: 4 kernel_size: 3", 2, channels, 6, 5))
    (top,) = layer.forward([torch.tensor(numbers(2, channels, 6, 5))])

    assert top.stride() == (4 * 4 * 3, 1, 4 * 3, 4)


def test_gradients_go_only_where_the_layer_learns() -> None:
    layer = make(case("", "num_output: 4 kernel_size: 3", 2, 3, 6, 5))
    (top,) = layer.forward([torch.tensor(numbers(2, 3, 6, 5))])
    layer.learns = [False, True]

    assert layer.backward([torch.ones_like(top)], [False]) == [None]
    assert not layer.learnable[0].diff.any()
    assert torch.equal(layer.learnable[1].diff, torch.full((4,), 24.0))


def test_a_layer_that_needs_no_backward_keeps_nothing() -> None:
    layer = make(case("", "num_output: 4 kernel_size: 3", 2, 3, 6, 5))
    layer.wants_backward = False
    (top,) = layer.forward([torch.tensor(numbers(2, 3, 6, 5))])

    with pytest.raises(DefinitionError, match="before forward"):
        layer.backward([top], [True])


def test_another_batch_and_size_fits_but_not_other_channels() -> None:
    layer = make(case("", "num_output: 4 kernel_size: 3", 2, 3, 6, 5))

    assert layer.reshape([(5, 3, 9, 4)]) == [(5, 4, 7, 2)]
    with pytest.raises(ShapeError) as caught:
        layer.reshape([(2, 4, 6, 5)])
    assert "2×4×6×5" in str(caught.value)
    assert "2×3×6×5" in str(caught.value)


WRONG = {
    "kernel_size: 3": "num_output is 0",
    "num_output: 4": "kernel_size",
    "num_output: 4 kernel_size: 0": "kernel is 0×0",
    "num_output: 4 kernel_h: 3": "kernel is 3×0",
    "num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3": "kernel_h or kernel_w",
    "num_output: 4 kernel_size: 3 stride: 0": "stride is 0×0",
    "num_output: 4 kernel_size: 3 stride_h: 2": "stride is 2×0",
    "num_output: 4 kernel_size: 3 kernel_size: 3 kernel_size: 3": "3 times kernel_size",
    "num_output: 4 kernel_size: 3 group: 2": "group 2 does not divide 3 channels",
    "num_output: 4 kernel_size: 3 group: 3": "num_output 4",
    "num_output: 4 kernel_size: 7": "2×3×6×5",
    "num_output: 4 kernel_size: 1 axis: 4": "axis 4",
}


@pytest.mark.parametrize("fields", WRONG)
def test_what_caffe_refuses_is_refused(oracle: Oracle, fields: str) -> None:
    wrong = case("", fields, 2, 3, 6, 5)

    assert WRONG[fields] in refused_by_both(oracle, wrong, DefinitionError)


def test_bottoms_of_two_shapes_are_refused(oracle: Oracle) -> None:
    bottoms = [numbers(2, 3, 6, 5), numbers(2, 3, 5, 5)]
    wrong = Case(convolution("num_output: 4 kernel_size: 3"), bottoms, tops=2)

    message = refused_by_both(oracle, wrong, ShapeError)

    assert "2×3×6×5" in message
    assert "2×3×5×5" in message


def test_a_dilation_of_nothing_is_refused() -> None:
    with pytest.raises(DefinitionError, match="dilation is 0×0"):
        make(case("", "num_output: 4 kernel_size: 3 dilation: 0", 2, 3, 6, 5))
