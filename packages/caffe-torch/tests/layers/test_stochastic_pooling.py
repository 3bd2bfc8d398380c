"""Stochastic pooling on CPU tensors, beside loops: Caffe computes it on GPUs only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from caffe.errors import DefinitionError
from caffe.layers import Context, Layer, create
from caffe.layers import stochastic_pooling as stochastic
from caffe.layers.stochastic_pooling import Grid
from caffe.proto import caffe_pb2
from caffe.random import Random
from google.protobuf import text_format

Array = np.ndarray[Any, Any]
GPU = torch.device("cuda", 0)

GRIDS = {
    "apart": Grid((4, 6), (2, 2), (2, 2), (2, 3)),
    "overlap": Grid((7, 5), (3, 3), (2, 2), (3, 2)),
    "rectangular": Grid((6, 5), (3, 2), (1, 3), (4, 2)),
    "overhang": Grid((8, 6), (3, 3), (2, 2), (4, 3)),
    "overhang in h": Grid((6, 4), (4, 2), (3, 2), (2, 2)),
    "rounded down": Grid((8, 7), (3, 2), (3, 4), (2, 2)),
    "kernel above bottom": Grid((3, 2), (4, 4), (3, 3), (1, 1)),
    "a window beyond the bottom": Grid((5, 9), (2, 2), (4, 4), (2, 3)),
    "global": Grid((5, 4), (5, 4), (1, 1), (1, 1)),
    "one": Grid((3, 3), (1, 1), (1, 1), (3, 3)),
}


def whole(grid: Grid, seed: int = 1, low: int = 0) -> Array:
    """Whole numbers, many of them zeros: their sums are exact in any order."""
    return np.random.default_rng(seed).integers(low, 5, (2, 3, *grid.plane)).astype(np.float32)


def places(grid: Grid, row: int, column: int) -> list[tuple[int, int]]:
    """The elements of the plane that a window covers, in row-major order."""
    top, left = row * grid.stride[0], column * grid.stride[1]
    return [
        (h, w)
        for h in range(top, min(top + grid.kernel[0], grid.plane[0]))
        for w in range(left, min(left + grid.kernel[1], grid.plane[1]))
    ]


def drawn_by_loops(x: Array, draws: Array, grid: Grid, diff: Array) -> tuple[Array, Array]:
    """Top and gradient in TRAIN, element by element."""
    top, gradient = np.zeros_like(draws), np.zeros_like(x)
    for n, c, row, column in np.ndindex(*draws.shape):
        window = places(grid, row, column)
        total = np.float32(sum(x[n, c, h, w] for h, w in window))
        threshold, reached = draws[n, c, row, column] * total, np.float32(0)
        choice = window[-1] if window else None
        for h, w in window:
            reached += x[n, c, h, w]
            if reached >= threshold:
                choice = h, w
                break
        if choice is not None:
            top[n, c, row, column] = x[n, c, *choice]
            gradient[n, c, *choice] += diff[n, c, row, column]
    return top, gradient


def expected_by_loops(x: Array, grid: Grid) -> Array:
    """The top in TEST, element by element."""
    top = np.zeros((*x.shape[:2], *grid.found), np.float32)
    for n, c, row, column in np.ndindex(*top.shape):
        total, squares = np.float32(np.finfo(np.float32).tiny), np.float32(0)
        for h, w in places(grid, row, column):
            total += x[n, c, h, w]
            squares += x[n, c, h, w] ** 2
        top[n, c, row, column] = squares / total if total > 0 else 0
    return top


def draws_for(grid: Grid, seed: int = 2) -> Array:
    """From (0, 1], the end among them."""
    draws = 1 - np.random.default_rng(seed).random((2, 3, *grid.found), np.float32)
    draws[0, 0] = 1
    return draws


def drawn(x: Array, draws: Array, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """Top and choice in TRAIN."""
    windows = stochastic.unfolded(torch.tensor(x), grid)
    last = stochastic.last_places(grid, windows.device)
    choice = stochastic.chosen(windows, torch.tensor(draws), last)
    return stochastic.picked(windows, choice), choice


@pytest.mark.parametrize("low", [0, -3], ids=["not negative", "negative too"])
@pytest.mark.parametrize("name", GRIDS)
def test_train_gives_the_first_element_at_the_threshold(name: str, low: int) -> None:
    grid = GRIDS[name]
    x, draws = whole(grid, low=low), draws_for(grid)
    diff = np.random.default_rng(3).integers(-9, 9, draws.shape).astype(np.float32)
    top, gradient = drawn_by_loops(x, draws, grid, diff)

    mine, choice = drawn(x, draws, grid)

    assert np.array_equal(mine.numpy(), top)
    found = stochastic.gradient(torch.tensor(diff), choice, grid)
    assert np.array_equal(found.numpy(), gradient)


@pytest.mark.parametrize("low", [0, -3], ids=["not negative", "negative too"])
@pytest.mark.parametrize("name", GRIDS)
def test_test_gives_the_sum_of_squares_over_the_sum(name: str, low: int) -> None:
    grid = GRIDS[name]
    x = whole(grid, low=low)

    mine = stochastic.expected(stochastic.unfolded(torch.tensor(x), grid))

    np.testing.assert_allclose(mine.numpy(), expected_by_loops(x, grid), rtol=1e-6)


def test_the_gradient_goes_to_the_chosen_elements_and_adds_up_where_windows_share_one() -> None:
    grid = Grid((2, 3), (2, 2), (1, 1), (1, 2))
    x = np.array([[[[1, 6, 1], [1, 1, 1]]]], np.float32)
    # Running sums: 1 7 8 9 and 6 7 8 9.
    both, choice = drawn(x, np.array([[[[0.5, 0.5]]]], np.float32), grid)
    shared = stochastic.gradient(torch.tensor([[[[10.0, 3.0]]]]), choice, grid)
    apart, choice = drawn(x, np.array([[[[0.1, 0.95]]]], np.float32), grid)
    alone = stochastic.gradient(torch.tensor([[[[10.0, 3.0]]]]), choice, grid)

    assert both.tolist() == [[[[6, 6]]]]
    assert shared.tolist() == [[[[0, 13, 0], [0, 0, 0]]]]
    assert apart.tolist() == [[[[1, 1]]]]
    assert alone.tolist() == [[[[10, 0, 0], [0, 0, 3]]]]


def test_windows_of_zeros_give_zero_and_a_threshold_out_of_reach_the_last_element() -> None:
    grid = Grid((2, 7), (2, 3), (2, 3), (1, 3))
    x = np.zeros((1, 1, 2, 7), np.float32)
    x[..., 3:6] = [[-4, 1, 1], [-4, 1, 2]]
    x[..., 6] = [np.nan, 5]

    top, choice = drawn(x, np.full((1, 1, 1, 3), 0.25, np.float32), grid)
    mean = stochastic.expected(stochastic.unfolded(torch.tensor(x), grid))

    # The last window has one column of three inside: its last element is at 1·3 + 0.
    assert choice.tolist() == [[[[0, 5, 3]]]]
    assert top.tolist() == [[[[0, 2, 5]]]]
    assert mean.tolist() == [[[[0, 0, 0]]]]


def layer_of(fields: str, x: Array, phase: int = caffe_pb2.TRAIN, device: Any = GPU) -> Layer:
    """A layer that takes itself to be on a GPU, for tensors of the CPU."""
    text = f'name: "x" type: "Pooling" bottom: "b" top: "t" pooling_param {{ {fields} }}'
    return made(text, x, phase, device)


def made(text: str, x: Array, phase: int, device: Any = GPU) -> Layer:
    param = caffe_pb2.LayerParameter()
    text_format.Parse(text, param)
    layer = create(param, Context(phase, device, Random(7)))
    layer.setup([x.shape])
    layer.reshape([x.shape])
    return layer


def test_an_element_is_chosen_as_often_as_its_part_of_the_sum_says() -> None:
    values = np.array([1, 0, 2, 5], np.float32)
    count = 20_000
    x = np.tile(values.reshape(1, 1, 2, 2), (1, count, 1, 1))
    layer = layer_of("pool: STOCHASTIC kernel_size: 2", x)

    first, second = (layer.forward([torch.tensor(x)])[0] for _ in range(2))

    assert not torch.equal(first, second)
    for value, part in ((0, 0), (1, 1 / 8), (2, 2 / 8), (5, 5 / 8)):
        hits = float((first == value).sum()) / count
        # Five standard deviations: one run in 600,000 of honest draws would miss it.
        assert abs(hits - part) <= 5 * (part * (1 - part) / count) ** 0.5
    test = layer_of("pool: STOCHASTIC kernel_size: 2", x[:, :1], caffe_pb2.TEST)
    (mean,) = test.forward([torch.tensor(x[:, :1])])
    assert float(mean) == pytest.approx(30 / 8)
    deviation = ((1 + 8 + 125) / 8 - (30 / 8) ** 2) ** 0.5
    assert abs(float(first.mean()) - 30 / 8) <= 5 * deviation / count**0.5


def test_the_draws_are_those_of_the_nets_random_source() -> None:
    x = whole(GRIDS["overhang"])
    fields = "pool: STOCHASTIC kernel_size: 3 stride: 2"
    tops = [layer_of(fields, x).forward([torch.tensor(x)])[0] for _ in range(2)]
    draws = torch.empty(2, 3, 4, 3).uniform_(generator=torch.Generator().manual_seed(7))

    assert torch.equal(*tops)
    assert torch.equal(tops[0], drawn(x, (1 - draws).numpy(), GRIDS["overhang"])[0])


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("kernel_size: 3 stride: 2", "overlap"),
        ("kernel_size: 3 stride: 2", "overhang"),
        ("kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3", "rectangular"),
        ("kernel_h: 3 kernel_w: 2 stride_h: 3 stride_w: 4 round_mode: FLOOR", "rounded down"),
        ("kernel_size: 2 stride: 4", "a window beyond the bottom"),
        ("global_pooling: true", "global"),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_layer_sends_the_gradient_where_its_values_came_from(
    fields: str, name: str, memory_format: torch.memory_format
) -> None:
    grid = GRIDS[name]
    # No two elements are alike, so that a value tells its place.
    values = 1 + np.random.default_rng(4).permutation(6 * grid.plane[0] * grid.plane[1])
    x = values.reshape(2, 3, *grid.plane).astype(np.float32)
    layer = layer_of(f"pool: STOCHASTIC {fields}", x)

    (top,) = layer.forward([torch.tensor(x).contiguous(memory_format=memory_format)])
    (gradient,) = layer.backward([torch.ones_like(top)], [True])

    assert tuple(top.shape[2:]) == grid.found
    assert gradient is not None
    taken = [int((top == each).sum()) for each in x.ravel()]
    assert gradient.flatten().tolist() == taken
    assert layer.backward([torch.ones_like(top)], [False]) == [None]


def test_in_test_no_gradient_flows() -> None:
    x = whole(GRIDS["overlap"])
    layer = layer_of("pool: STOCHASTIC kernel_size: 3 stride: 2", x, caffe_pb2.TEST)
    (top,) = layer.forward([torch.tensor(x)])
    (gradient,) = layer.backward([torch.ones_like(top)], [True])

    assert gradient is not None
    assert gradient.shape == x.shape
    assert not gradient.any()


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
def test_the_levels_of_spp_draw_in_both_phases(phase: int) -> None:
    x = whole(GRIDS["one"])[:, :, :2, :2] + np.float32([[1, 10], [20, 30]])
    fields = "pool: STOCHASTIC pyramid_height: 2"
    layer = made(f'name: "x" type: "SPP" bottom: "b" top: "t" spp_param {{ {fields} }}', x, phase)
    (top,) = layer.forward([torch.tensor(x)])
    (gradient,) = layer.backward([torch.ones_like(top)], [True])

    assert set(top.flatten().tolist()) <= set(x.ravel().tolist())
    assert gradient is not None
    # Level 0 takes one of the four, level 1 each of them.
    assert gradient.sum((2, 3)).tolist() == [[5] * 3] * 2


@pytest.mark.parametrize("pads", ["pad: 1", "pad_h: 0 pad_w: 1"])
def test_padding_is_refused(pads: str) -> None:
    with pytest.raises(DefinitionError, match="STOCHASTIC and pad"):
        layer_of(f"pool: STOCHASTIC kernel_size: 3 {pads}", whole(GRIDS["one"]))


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
def test_on_a_cpu_it_is_refused(phase: int) -> None:
    with pytest.raises(DefinitionError, match="not implemented on a CPU"):
        layer_of("pool: STOCHASTIC kernel_size: 2", whole(GRIDS["one"]), phase, torch.device("cpu"))
