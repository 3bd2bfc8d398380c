"""The same work for many things, a few at a time; the first error ends it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Thing = TypeVar("Thing")
    Result = TypeVar("Result")

_GRACE = 5.0
"""Seconds that the others have to notice that it is over."""
_IMPATIENCE = 1.0
"""The same where the user ended it."""


class StoppedError(Exception):
    """Another thread failed, or the user had enough."""


class Stop:
    """Told to the workers; they ask it between pieces of work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def check(self) -> None:
        """Raises StoppedError when the work is to end."""
        if self._event.is_set():
            raise StoppedError


def run_all(
    things: Sequence[Thing], work: Callable[[Thing, Stop], Result], parallel: int
) -> list[Result]:
    """``work`` for each of ``things``, in up to ``parallel`` threads; results in their order.

    Raises the first error any of them raised, or KeyboardInterrupt, without waiting for a
    thread that hangs: the threads are daemons and find ``Stop`` set when they wake.
    """
    results: dict[int, Result] = {}
    # A deque's ends are safe to use from several threads (Python's documentation says so).
    waiting = deque(enumerate(things))
    errors = deque[BaseException]()
    ended = threading.Semaphore(0)
    stop = Stop()

    def worker() -> None:
        try:
            while True:
                stop.check()
                try:
                    index, thing = waiting.popleft()
                except IndexError:
                    break
                results[index] = work(thing, stop)
        except BaseException as error:  # noqa: BLE001 raised again in the caller's thread
            errors.append(error)
        finally:
            ended.release()

    count = max(1, min(parallel, len(things)))
    threads = [threading.Thread(target=worker, daemon=True) for _ in range(count)]
    grace = _GRACE
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            ended.acquire()
            if errors:
                raise errors[0]
    except KeyboardInterrupt:
        grace = _IMPATIENCE
        raise
    finally:
        stop.set()
        deadline = time.monotonic() + grace
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    return [results[index] for index in range(len(things))]
