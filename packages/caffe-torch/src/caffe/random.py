"""Caffe's random numbers (placeholder until the exact stream is here)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class Random:
    """One stream: boost's mt19937 as Caffe uses it on the CPU, and a torch generator for GPUs."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed(0 if seed is None else seed)

    def seed(self, seed: int) -> None:
        self._bits = np.random.MT19937()
        self._bits._legacy_seeding(seed & 0xFFFFFFFF)
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def draw(self) -> int:
        """One 32-bit number (``caffe_rng_rand``)."""
        return int(self._bits.random_raw())

    def uniform(self, count: int, low: float, high: float) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def gaussian(self, count: int, mean: float, std: float) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def bernoulli(self, count: int, probability: float) -> np.ndarray[Any, Any]:
        """``count`` draws, uint8 0 or 1."""
        raw = self._bits.random_raw(count).astype(np.uint32)
        limit = np.float32(probability) * np.float32(4294967295.0)
        return (raw.astype(np.float32) <= limit).astype(np.uint8)

    def generator(self, device: torch.device) -> torch.Generator:
        """For random numbers on ``device``; seeded by the same seed."""
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]
