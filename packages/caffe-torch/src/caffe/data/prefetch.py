"""A thread that makes batches while training computes.

A slot holds one batch. Free slots go to the thread, which fills them; full slots go to the net,
which holds one until it asks for the next: what :meth:`Prefetch.take` gave is true until then, as
in Caffe. There is one thread and one order of batches, so nothing depends on timing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from caffe.blob import Shape
from caffe.data.faults import Fail
from caffe.errors import CaffeError

Array = np.ndarray[Any, Any]
_PATIENCE_SECONDS = 10.0


class Slot:
    """The arrays of one batch, made anew only when a shape changes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._host: dict[int, torch.Tensor] = {}
        self._arrays: dict[int, Array] = {}
        self._copied: torch.cuda.Event | None = None
        self.tops: list[torch.Tensor] = []

    def array(self, index: int, shape: Shape) -> Array:
        """The float32 array of top ``index``, to be filled."""
        found = self._arrays.get(index)
        if found is None or found.shape != shape:
            tensor = torch.empty(shape, pin_memory=self._device.type == "cuda")
            found = tensor.numpy()
            self._host[index], self._arrays[index] = tensor, found
        return found

    def begin(self) -> None:
        """Wait until the last batch has left the host's arrays."""
        if self._copied is not None:
            self._copied.synchronize()

    def finish(self, stream: torch.cuda.Stream | None) -> None:
        """Make ``tops``; on a GPU by a copy on ``stream``, beside the computation."""
        host = [self._host[index] for index in sorted(self._host)]
        if stream is None:
            self.tops = host
            return
        with torch.cuda.stream(stream):
            self.tops = [tensor.to(self._device, non_blocking=True) for tensor in host]
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's own
            self._copied.record(stream)

    def await_copy(self) -> None:
        """Let the current stream use ``tops`` once they have arrived."""
        if self._copied is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(self._copied)
            for top in self.tops:
                top.record_stream(current)


class Prefetch:
    """Runs ``fill(slot)`` ahead, for ``depth`` slots, until :meth:`close`."""

    def __init__(
        self, fill: Callable[[Slot], None], depth: int, device: torch.device, fail: Fail
    ) -> None:
        self._free: SimpleQueue[Slot | None] = SimpleQueue()
        self._full: SimpleQueue[Slot | CaffeError] = SimpleQueue()
        self._held: Slot | None = None
        self._failed: CaffeError | None = None
        self._fail = fail
        self._owner = os.getpid()
        for _ in range(depth):
            self._free.put(Slot(device))
        self._thread = threading.Thread(
            target=_run, args=(fill, self._free, self._full, device, fail), daemon=True
        )
        self._thread.start()

    def take(self) -> list[torch.Tensor]:
        """The next batch. Raises what the thread raised, now and at each later call."""
        if self._failed is not None:
            raise self._failed
        if self._owner != os.getpid():
            raise self._fail(
                "reads in another process",
                next_step="make the net in the process that uses it, after the fork",
            )
        if self._held is not None:
            self._free.put(self._held)
            self._held = None
        found = self._full.get()
        if isinstance(found, CaffeError):
            self._failed = found
            raise found
        self._held = found
        found.await_copy()
        return found.tops

    def close(self) -> bool:
        """End the thread, behind the batch that it is at; whether it has ended."""
        if self._failed is None:
            self._failed = self._fail("is closed", next_step="make the net again")
        if self._owner != os.getpid():
            return False
        # It ends at the first None, so no free slot may stand before it.
        while not self._free.empty():
            self._free.get()
        self._free.put(None)
        self._thread.join(_PATIENCE_SECONDS)
        return not self._thread.is_alive()


def _run(
    fill: Callable[[Slot], None],
    free: SimpleQueue[Slot | None],
    full: SimpleQueue[Slot | CaffeError],
    device: torch.device,
    fail: Fail,
) -> None:
    """The thread. It holds no more than this, so that a net can end while it runs."""
    try:
        stream = _stream(device)
        while (slot := free.get()) is not None:
            slot.begin()
            fill(slot)
            slot.finish(stream)
            full.put(slot)
    except CaffeError as error:
        full.put(error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the net must hear of it
        failure = fail(f"reading failed: {type(error).__name__}: {error}")
        failure.__cause__ = error
        full.put(failure)


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own
