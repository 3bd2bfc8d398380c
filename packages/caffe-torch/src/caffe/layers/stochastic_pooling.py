"""What Pooling computes with ``pool: STOCHASTIC``, on whatever device its tensors are.

In TRAIN a window gives one of its elements, each with probability x / Σx: the first in row-major
order where the running sum reaches u · Σx, for a u drawn from (0, 1]. The gradient goes to it
alone. In TEST a window gives what TRAIN gives on average, Σx² / Σx, and 0 where Σx is not above 0.
Made for bottoms without negative values, as behind a ReLU; others are taken as they come.

A window that lies wholly beyond the bottom gives 0 and sends no gradient.

Differs from Caffe: where no element reaches the threshold (a negative sum, NaN), Caffe's loop ends
without a choice, and the top keeps what was there before; here the last element is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from caffe.layers.base import Tensor

Pair = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """How windows lie on an H×W plane, height first. ``found`` is how many there are on each axis,
    h×w. Nothing is padded in front; the last ones may reach beyond the plane."""

    plane: Pair
    kernel: Pair
    stride: Pair
    found: Pair

    @property
    def extent(self) -> Pair:
        """What the windows cover, from the plane's corner on."""
        high, wide = (
            (count - 1) * stride + kernel
            for count, stride, kernel in zip(self.found, self.stride, self.kernel, strict=True)
        )
        return high, wide

    def overhang(self, sign: int = 1) -> list[int]:
        """From the plane to the extent, as torch's pad wants it; the way back with sign -1."""
        high, wide = (
            sign * (extent - size) for extent, size in zip(self.extent, self.plane, strict=True)
        )
        return [0, wide, 0, high]


def unfolded(x: Tensor, grid: Grid) -> Tensor:
    """The windows of an N×C×H×W bottom: N×C×K×h×w, the K elements of a kernel in row-major order.

    Beyond the plane there are zeros. They add nothing to a running sum, so none is the first to
    reach a threshold.
    """
    (high, wide), (down, right) = grid.kernel, grid.stride
    covered = torch.nn.functional.pad(x, grid.overhang())
    windows = covered.unfold(2, high, down).unfold(3, wide, right)
    return windows.permute(0, 1, 4, 5, 2, 3).flatten(2, 3)


def folded(windows: Tensor, grid: Grid) -> Tensor:
    """N×C×K×h×w added up where windows overlap, into N×C×H×W: the transpose of
    :func:`unfolded`."""
    columns = windows.flatten(3).flatten(1, 2)
    covered = torch.nn.functional.fold(columns, grid.extent, grid.kernel, stride=grid.stride)
    return torch.nn.functional.pad(covered, grid.overhang(-1))


def last_places(grid: Grid, device: torch.device) -> Tensor:
    """For each window, where among its K elements the last one inside the plane is: int64, h×w.
    Means nothing for a window that has none."""
    last_row, last_column = (
        (size - stride * torch.arange(count, device=device)).clamp(1, kernel) - 1
        for size, stride, count, kernel in zip(
            grid.plane, grid.stride, grid.found, grid.kernel, strict=True
        )
    )
    return last_row[:, None] * grid.kernel[1] + last_column


def chosen(windows: Tensor, draws: Tensor, last: Tensor) -> Tensor:
    """Which of its K elements each window gives: int64, N×C×h×w.

    ``windows`` is N×C×K×h×w, ``draws`` N×C×h×w from (0, 1], ``last`` h×w from
    :func:`last_places`. The threshold comes from the running sum's own end, so no rounding of a
    sum of positive values keeps them from reaching it.
    """
    sums = windows.cumsum(2)
    reached = sums >= draws.unsqueeze(2) * sums[:, :, -1:]
    # argmax gives the first of equal ones; it does not take bool on every device.
    first = reached.to(torch.uint8).argmax(2)
    return torch.where(reached.any(2), first, last)


def picked(windows: Tensor, choice: Tensor) -> Tensor:
    """The chosen elements, N×C×h×w, of N×C×K×h×w."""
    return windows.gather(2, choice.unsqueeze(2)).squeeze(2)


def gradient(diff: Tensor, choice: Tensor, grid: Grid) -> Tensor:
    """The bottom's gradient, N×C×H×W: each window's ``diff`` (N×C×h×w) at its ``choice``.

    Windows are filled apart and then folded: adding at shared places directly would come out in
    another order, with other last digits, from run to run on a GPU.
    """
    samples, channels, *found = diff.shape
    elements = grid.kernel[0] * grid.kernel[1]
    windows = diff.new_zeros(samples, channels, elements, *found)
    return folded(windows.scatter_(2, choice.unsqueeze(2), diff.unsqueeze(2)), grid)


def expected(windows: Tensor) -> Tensor:
    """What TEST gives, N×C×h×w, for N×C×K×h×w: Σx² / Σx.

    Caffe's sum begins at FLT_MIN, so that zeros give 0 / FLT_MIN = 0; any other element swallows
    it. Added to the end of a sum it would turn 2 - 2 into a division by FLT_MIN.
    """
    sums = windows.sum(2)
    return torch.where(sums > 0, windows.square().sum(2) / sums, 0.0)
