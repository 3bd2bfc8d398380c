from __future__ import annotations

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError, ShapeError
from layer_checks import (
    Case,
    check_gradient,
    compare,
    ids,
    make,
    numbers,
    ours,
    refused_by_both,
    theirs,
)
from oracle.client import Oracle


def pooling(fields: str) -> str:
    return f'type: "Pooling" pooling_param {{ {fields} }}'


TIES = np.array([[[[1, 1, 0, 0], [1, 1, 0, -0.0], [-5, -5, 2, 2], [-5, -5, 3e38, 2]]]], np.float32)
SHAPES = {
    "LeNet": ("kernel_size: 2 stride: 2", (2, 3, 8, 8)),
    "overlap": ("kernel_size: 3 stride: 2", (2, 3, 13, 12)),
    "rounded up": ("kernel_size: 3 stride: 2", (2, 3, 8, 6)),
    "rounded down": ("kernel_size: 3 stride: 2 round_mode: FLOOR", (2, 3, 8, 6)),
    "GoogLeNet": ("kernel_size: 3 stride: 1 pad: 1", (2, 3, 7, 6)),
    "padded": ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 8, 7)),
    "last window dropped": ("kernel_size: 2 stride: 2 pad: 1", (2, 3, 5, 4)),
    "wide padding": ("kernel_size: 3 stride: 2 pad: 2", (2, 3, 7, 6)),
    "wide padding, floor": ("kernel_size: 3 stride: 2 pad: 2 round_mode: FLOOR", (1, 2, 8, 9)),
    "h and w": (
        "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0",
        (2, 3, 7, 6),
    ),
    "wide padding in w": ("kernel_size: 4 stride: 3 pad_h: 0 pad_w: 3", (2, 3, 9, 10)),
    "stride above kernel": ("kernel_size: 1 stride: 3", (2, 3, 7, 10)),
    "stride above kernel, padded": ("kernel_size: 2 stride: 5 pad: 1", (2, 3, 3, 9)),
    "stride above kernel, floor": ("kernel_size: 2 stride: 3 round_mode: FLOOR", (2, 3, 9, 10)),
    "global": ("global_pooling: true", (2, 3, 5, 4)),
    "kernel above bottom": ("kernel_size: 4 stride: 3", (2, 3, 3, 2)),
    "one": ("kernel_size: 1", (1, 1, 1, 1)),
}
CASES = [
    Case(pooling(f"pool: {method} {fields}"), [numbers(*shape)], name=f"{method} {name}")
    for method in ("MAX", "AVE")
    for name, (fields, shape) in SHAPES.items()
] + [
    Case(pooling("kernel_size: 2 stride: 1"), [TIES], name="ties"),
    Case(pooling("kernel_size: 3 pad: 1"), [-np.abs(numbers(1, 2, 4, 4))], name="negative"),
]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_pooling_is_the_oracles(oracle: Oracle, case: Case) -> None:
    compare(oracle, case)


MASKED = ["LeNet", "GoogLeNet", "last window dropped", "wide padding", "h and w", "global"]


@pytest.mark.parametrize("name", MASKED)
def test_the_mask_is_the_oracles(oracle: Oracle, name: str) -> None:
    fields, shape = SHAPES[name]
    case = Case(pooling(fields), [numbers(*shape)], tops=2)
    compare(oracle, case)


def test_empty_windows_of_max_are_the_oracles_and_send_no_gradient(oracle: Oracle) -> None:
    case = Case(pooling("kernel_size: 2 stride: 4"), [numbers(2, 3, 9, 6)], tops=2, backward=False)
    mine, real = ours(case), theirs(oracle, case)

    assert mine.tops[0].shape == (2, 3, 3, 2)
    assert np.array_equal(mine.tops[0], real.tops[0])
    assert np.array_equal(mine.tops[1], real.tops[1])

    wide = Case(pooling("kernel_size: 2 stride: 4"), [numbers(2, 3, 10, 7)])
    layer = make(wide)
    layer.reshape([(2, 3, 9, 5)])
    (top,) = layer.forward([torch.tensor(numbers(2, 3, 9, 5))])
    (gradient,) = layer.backward([torch.ones_like(top)], [True])

    assert gradient is not None
    assert gradient.sum() == (top > -3e38).sum()


def test_empty_windows_of_ave_are_the_oracles(oracle: Oracle) -> None:
    for size in (5, 6, 9, 10):
        case = Case(pooling("pool: AVE kernel_size: 2 stride: 4"), [numbers(1, 2, size, 9)])
        compare(oracle, case)
    compare(oracle, Case(pooling("pool: AVE kernel_size: 1 stride: 5"), [numbers(1, 2, 7, 8)]))


@pytest.mark.parametrize(
    "fields", ["pool: AVE kernel_size: 3 stride: 2 pad: 2", "kernel_size: 3 stride: 2 pad: 2"]
)
def test_pooling_gradient(fields: str) -> None:
    check_gradient(Case(pooling(fields), [numbers(2, 2, 5, 4)]))


@pytest.mark.parametrize("name", ["LeNet", "padded", "wide padding", "overlap"])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_the_layout_of_the_bottom_changes_nothing(name: str, method: str) -> None:
    fields, shape = SHAPES[name]
    layer = make(Case(pooling(f"pool: {method} {fields}"), [numbers(*shape)]))
    plain = torch.tensor(numbers(*shape))
    results = []
    for x in (plain, plain.contiguous(memory_format=torch.channels_last)):
        (top,) = layer.forward([x])
        diff = torch.tensor(numbers(*top.shape))
        (gradient,) = layer.backward([diff], [True])
        assert gradient is not None
        results.append((top, gradient))

    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6)


WRONG = {
    "kernel_size: 3 pad: 3": ("pad 3×3", DefinitionError),
    "kernel_size: 3 kernel_h: 3 kernel_w: 3": ("mix", DefinitionError),
    "kernel_h: 3": ("mix", DefinitionError),
    "stride: 2": ("kernel is 0×0", DefinitionError),
    "kernel_size: 3 stride_h: 2": ("mix", DefinitionError),
    "kernel_size: 3 pad: 1 pad_h: 1": ("mix", DefinitionError),
    "global_pooling: true kernel_size: 2": ("global_pooling", DefinitionError),
    "global_pooling: true stride: 2": ("global_pooling", DefinitionError),
    "pool: STOCHASTIC kernel_size: 2": ("STOCHASTIC", DefinitionError),
    "kernel_size: 6": ("4×5", ShapeError),
}


@pytest.mark.parametrize("fields", WRONG)
def test_what_caffe_refuses_is_refused(oracle: Oracle, fields: str) -> None:
    words, error = WRONG[fields]

    assert words in refused_by_both(oracle, Case(pooling(fields), [numbers(2, 3, 4, 5)]), error)


def test_a_bottom_without_four_axes_is_refused(oracle: Oracle) -> None:
    case = Case(pooling("kernel_size: 2"), [numbers(4, 5)])

    assert "4×5" in refused_by_both(oracle, case, ShapeError)


def test_a_mask_of_averages_is_refused(oracle: Oracle) -> None:
    case = Case(pooling("pool: AVE kernel_size: 2"), [numbers(1, 1, 4, 5)], tops=2)

    assert "mask" in refused_by_both(oracle, case, DefinitionError)
