"""Caffe's random numbers, bit for bit as on the CPU: boost's mt19937 and its distributions.

Every number comes from one stream of 32-bit words. The distributions compute in float32, in
boost 1.74's order of operations, and take as many words as boost does.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import MutableSequence
from typing import Any

import numpy as np
import torch

from caffe import ziggurat
from caffe.errors import UsageError
from caffe.ziggurat import Floats, Words

_RANGE = np.float32(2.0**32)
_AHEAD = 1024
_BLOCK = 1 << 18


class Random:
    """One stream, and for GPUs a torch generator of the same seed.

    Without a seed, it starts anywhere, as Caffe does for the solver's ``random_seed: -1``.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed(secrets.randbits(32) if seed is None else seed)

    def seed(self, seed: int) -> None:
        """Start afresh. Caffe keeps the low 32 bits of a seed."""
        self._seed = seed & 0xFFFFFFFF
        self._state = np.random.RandomState(self._seed)
        self._ahead: Words = np.empty(0, np.uint32)
        self._next = 0
        self._generators: dict[torch.device, torch.Generator] = {}

    def draw(self) -> int:
        """One 32-bit number (``caffe_rng_rand``)."""
        if self._next == len(self._ahead):
            self._ahead, self._next = self._words(_AHEAD), 0
        word = int(self._ahead[self._next])
        self._next += 1
        return word

    def take(self, count: int) -> Words:
        """The next ``count`` words."""
        ready = self._ahead[self._next : self._next + count]
        self._next += len(ready)
        if len(ready) == count:
            return ready
        return np.concatenate((ready, self._words(count - len(ready))))

    def give_back(self, words: Words) -> None:
        """Words that were taken last and not used; they come next."""
        self._ahead = np.concatenate((words, self._ahead[self._next :]))
        self._next = 0

    def uniform(self, count: int, low: float, high: float) -> Floats:
        """``count`` draws from [``low``, ``high``] (``caffe_rng_uniform``). Raises UsageError."""
        first, last = np.float32(low), np.float32(high)
        if not (first <= last and math.isfinite(first) and math.isfinite(last)):
            raise UsageError(
                f"cannot draw from {low:g} to {high:g}",
                allowed="finite bounds, the lower one first",
            )
        end = np.nextafter(last, np.float32(np.inf))
        # boost draws from half the range where the range itself is too large for a float.
        huge = float(end) / 2 - float(first) / 2 > float(np.finfo(np.float32).max) / 2
        factor = np.float32(2 if huge else 1)
        first, end = first / factor, end / factor
        values = np.empty(count, np.float32)
        done = 0
        while done < count:
            words = self.take(min(count - done, _BLOCK))
            drawn = words.astype(np.float32) / _RANGE * (end - first) + first
            drawn = drawn[drawn < end] * factor
            values[done : done + len(drawn)] = drawn
            done += len(drawn)
        return values

    def gaussian(self, count: int, mean: float, std: float) -> Floats:
        """``count`` normally distributed draws (``caffe_rng_gaussian``). Raises UsageError."""
        if not std > 0:
            raise UsageError(f"cannot draw with a standard deviation of {std:g}", allowed="above 0")
        values = ziggurat.normal(self, count)
        values *= np.float32(std)
        values += np.float32(mean)
        return values

    def bernoulli(self, count: int, probability: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """``count`` draws, 0 or 1 (``caffe_rng_bernoulli``). A probability of 0 takes no words.
        Raises UsageError."""
        if not 0 <= probability <= 1:
            raise UsageError(f"{probability:g} is not a probability", allowed="0 to 1")
        if np.float32(probability) == 0:
            return np.zeros(count, np.uint8)
        limit = np.float32(probability) * _RANGE
        ones = np.empty(count, np.uint8)
        for start in range(0, count, _BLOCK):
            words = self.take(min(count - start, _BLOCK))
            ones[start : start + len(words)] = words.astype(np.float32) <= limit
        return ones

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Put ``items`` into a random order in place, as Caffe's util/rng.hpp does."""
        for last in range(len(items) - 1, 0, -1):
            # boost cuts the words' range into last + 1 equal parts and redraws what is left over.
            part = 2**32 // (last + 1)
            while (place := self.draw() // part) > last:
                pass
            items[last], items[place] = items[place], items[last]

    def generator(self, device: torch.device) -> torch.Generator:
        """For random numbers on ``device``."""
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def _words(self, count: int) -> Words:
        return self._state.randint(0, 2**32, count, np.uint32)
