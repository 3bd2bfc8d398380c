"""The same work for many items, on two processors.

Searching text holds the interpreter's lock, so a second thread would not help. The second process
is a fork: it begins at once, knows all that this one knows, and tells its results through a pipe.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeVar

    Item = TypeVar("Item")
    Result = TypeVar("Result")


def for_all(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``work(item)`` of all items in their order; what it gives must be the same after JSON.

    ``work`` must not print and not import: the fork's copies of this process's locks and buffers
    are nobody's. Should the fork fail, or be killed, its half is done here.
    """
    if len(items) < 2 or len(os.sched_getaffinity(0)) < 2:
        return [work(item) for item in items]
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError:  # too many processes
        os.close(reading)
        os.close(writing)
        return [work(item) for item in items]
    if child == 0:
        _tell(work, items[1::2], writing)
    os.close(writing)
    try:
        own = [work(item) for item in items[::2]]
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    others: list[Result] = json.loads(told) if status == 0 else [work(i) for i in items[1::2]]
    results = [*own, *others]
    results[::2], results[1::2] = own, others
    return results


def _tell(work: Callable[[Item], Result], items: Sequence[Item], writing: int) -> None:
    """The fork's life. It ends without cleaning up: that is the other one's to do."""
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps([work(item) for item in items]).encode())
        os._exit(0)
    finally:
        os._exit(1)
