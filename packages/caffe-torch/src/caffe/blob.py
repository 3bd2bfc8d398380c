"""A blob: an n-dimensional array of a net, ``data``, with its gradient, ``diff``.

Layers and solvers see tensors on the net's device. pycaffe's users see numpy arrays on the host
that are written through. :class:`Memory` keeps the two together, as Caffe's SyncedMemory does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

Shape = tuple[int, ...]


def shares_host(device: torch.device) -> bool:
    """Whether numpy sees the device's own memory, so that there is but one side."""
    return device.type == "cpu"


class Memory:
    """One array on ``device``, and its host side once somebody has looked at it.

    ``fixed`` memory never moves: a result is copied into it. It is for parameters, which are
    views of a flat buffer. Other memory just takes the tensor that a layer made, unless a numpy
    view of it exists that has to stay true.
    """

    __slots__ = ("_device", "_fixed", "_host", "_host_is_newer", "_tensor")

    def __init__(self, device: torch.device, tensor: torch.Tensor | None = None) -> None:
        self._device = device
        self._tensor = tensor
        self._fixed = tensor is not None
        self._host: torch.Tensor | None = None
        self._host_is_newer = False

    @property
    def known(self) -> bool:
        """Whether anything was ever put here."""
        return self._tensor is not None

    @property
    def looked_at(self) -> bool:
        """Whether a numpy view exists."""
        return self._host is not None

    def get(self, shape: Shape) -> torch.Tensor:
        """The tensor on the device, zeros when nothing was put yet."""
        tensor = self._tensor
        if tensor is None or tensor.numel() != math.prod(shape):
            tensor = self._tensor = torch.zeros(shape, device=self._device)
            self._host, self._fixed = None, False
        elif self._host_is_newer:
            assert self._host is not None
            host = self._host.view(tensor.shape)
            if self._fixed:
                tensor.copy_(host)
            else:
                # Another blob may share the old tensor, as the bottom of a slice does.
                tensor = self._tensor = host.to(self._device)
            self._host_is_newer = False
        return tensor if tensor.shape == shape else tensor.reshape(shape)

    def put(self, tensor: torch.Tensor) -> None:
        """Take a result: by copying where the memory is fixed or looked at."""
        self._host_is_newer = False
        if self._fixed and self._tensor is not None:
            if tensor is not self._tensor:
                self._tensor.copy_(tensor.reshape(self._tensor.shape))
        elif self._host is not None and shares_host(self._device):
            if self._host.numel() != tensor.numel():
                self._host = torch.empty(tensor.shape, dtype=tensor.dtype)
            if tensor is not self._host:
                # Blobs of several shapes may share this memory; the view of any has to stay true.
                self._host.view(tensor.shape).copy_(tensor)
            self._tensor = self._host
        else:
            self._tensor = tensor

    def fix(self, tensor: torch.Tensor) -> None:
        """Live in ``tensor`` from now on, with the content kept."""
        if self._tensor is not None:
            tensor.copy_(self.get(tuple(tensor.shape)))
        self._tensor, self._fixed, self._host = tensor, True, None
        self._host_is_newer = False

    def settle(self) -> None:
        """Bring what may have been written through numpy to the device, for somebody who reaches
        the tensor without :meth:`get`."""
        if self._host_is_newer and self._tensor is not None:
            self.get(tuple(self._tensor.shape))

    def numpy(self, shape: Shape) -> np.ndarray[Any, Any]:
        """The host side as a C-contiguous array; what is written there is seen by the net."""
        tensor = self.get(shape)
        if shares_host(self._device):
            if self._fixed and tensor.is_contiguous():
                self._host = tensor
            elif self._host is None or self._host is not self._tensor:
                self._host = tensor.contiguous().clone()
                self._tensor = self._host
            return np.asarray(self._host.detach().numpy()).reshape(shape)
        if self._host is None or self._host.numel() != tensor.numel():
            self._host = torch.empty(tensor.shape, pin_memory=self._device.type == "cuda")
        if not self._host_is_newer:
            self._host.copy_(tensor.contiguous().view(self._host.shape))
        self._host_is_newer = True
        return np.asarray(self._host.numpy()).reshape(shape)


class Blob:
    """``shape``, ``data`` and ``diff``; several blobs may share one memory."""

    __slots__ = ("data_memory", "device", "diff_memory", "shape")

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.device = device
        self.data_memory = Memory(device)
        self.diff_memory = Memory(device)

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def data(self) -> torch.Tensor:
        return self.data_memory.get(self.shape)

    @data.setter
    def data(self, tensor: torch.Tensor) -> None:
        self.shape = tuple(tensor.shape)
        self.data_memory.put(tensor)

    @property
    def diff(self) -> torch.Tensor:
        return self.diff_memory.get(self.shape)

    @diff.setter
    def diff(self, tensor: torch.Tensor) -> None:
        self.diff_memory.put(tensor)

    def share_data(self, other: Blob) -> None:
        """Use the data of ``other``, whose count must be the same."""
        self.data_memory = other.data_memory

    def share_diff(self, other: Blob) -> None:
        """Use the gradient of ``other``."""
        self.diff_memory = other.diff_memory
