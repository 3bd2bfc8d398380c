"""Small things of pycaffe: a timer, and the list of net layer types."""

from __future__ import annotations

import time

import torch

from caffe.layers import TABLE


class Timer:
    """``start()``, ``stop()``, then ``ms``: milliseconds, with what GPUs were asked for done."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._elapsed = 0.0

    def start(self) -> None:
        self._started = _now()

    def stop(self) -> None:
        if self._started is not None:
            self._elapsed = _now() - self._started
            self._started = None

    @property
    def ms(self) -> float:
        """Ends the measurement if it runs."""
        self.stop()
        return self._elapsed * 1e3


def layer_type_list() -> list[str]:
    """Every net layer type's name, in order."""
    return sorted(TABLE)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
