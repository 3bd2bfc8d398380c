"""The output of a run: of all its pods, over retries and lost connections."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from uaitrain.backends.kubernetes import status
from uaitrain.backends.kubernetes.log_lines import Lines
from uaitrain.backends.kubernetes.refusals import UnreachableError
from uaitrain.errors import UaitrainError

_LOOK_SECONDS = 2.0
_TRIES = 60
"""With two seconds between them: a server that is away for less loses us nothing."""
_QUEUED_LINES = 10000
_T = TypeVar("_T")
_Queue = queue.Queue[str | UaitrainError]


class Source(Protocol):
    """Where the pods of one run and their logs come from."""

    def pods(self) -> list[dict[str, Any]]: ...

    def is_over(self) -> bool: ...

    def log(self, pod: str, *, follow: bool) -> Iterator[bytes]:
        """Raises LookupError for a pod without a log, UnreachableError where the connection ends
        before the log does."""


def read(source: Source) -> Iterator[str]:
    """What there is now, attempt after attempt, and rank after rank in each."""
    for pod in _in_order(source.pods()):
        with suppress(LookupError):
            for line in Lines().of(source.log(pod["metadata"]["name"], follow=False), whole=True):
                yield _prefixed(pod, line)


def follow(source: Source, look_seconds: float = _LOOK_SECONDS) -> Iterator[str]:
    """Lines as they come until the run is over. Pods that come later are heard, too."""
    lines: _Queue = queue.Queue(_QUEUED_LINES)
    stop = threading.Event()
    readers: dict[str, threading.Thread] = {}
    try:
        while True:
            # Asked first: whatever pods a run has that is over, the list below has them.
            over = _patiently(source.is_over, stop, look_seconds)
            for pod in _in_order(_patiently(source.pods, stop, look_seconds)):
                name = pod["metadata"]["name"]
                if name in readers or not _has_begun(pod):
                    continue
                words = (source, pod, lines, stop, look_seconds)
                readers[name] = threading.Thread(target=_hear, args=words, daemon=True)
                readers[name].start()
                if status.has_ended(pod):
                    # An earlier attempt is told whole before the next one.
                    yield from _drain(lines, readers[name])
            if over:
                for reader in readers.values():
                    yield from _drain(lines, reader)
                return
            yield from _take(lines, look_seconds)
    finally:
        stop.set()


def _hear(
    source: Source,
    pod: Mapping[str, Any],
    lines: _Queue,
    stop: threading.Event,
    look_seconds: float,
) -> None:
    """Put every line of ``pod`` into ``lines`` until its container has ended."""
    name, seen, silent = pod["metadata"]["name"], Lines(), 0
    try:
        while not stop.is_set():
            # Only a reading that began after the end has certainly got the last line.
            ended = _patiently(lambda: _has_ended(source, name), stop, look_seconds)
            try:
                for line in seen.of(source.log(name, follow=not ended), whole=ended):
                    silent = 0
                    _put(lines, _prefixed(pod, line), stop)
                if ended:
                    return
            except LookupError:
                if ended:
                    return
            except UnreachableError:
                silent += 1
                if silent > _TRIES:
                    raise
            stop.wait(look_seconds)
    except UaitrainError as error:
        _put(lines, error, stop)


def _patiently(call: Callable[[], _T], stop: threading.Event, look_seconds: float) -> _T:
    """What ``call`` gives, tried again while the server cannot be reached."""
    for _ in range(_TRIES):
        try:
            return call()
        except UnreachableError:
            if stop.wait(look_seconds):
                raise
    return call()


def _put(lines: _Queue, item: str | UaitrainError, stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(queue.Full):
            lines.put(item, timeout=0.5)
            return


def _drain(lines: _Queue, reader: threading.Thread) -> Iterator[str]:
    """Lines until ``reader`` has ended and nothing waits any more."""
    while reader.is_alive() or not lines.empty():
        yield from _take(lines, 0.05)


def _take(lines: _Queue, seconds: float) -> Iterator[str]:
    """What comes within ``seconds``. Raises what a reader ended with."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            item = lines.get(timeout=left)
        except queue.Empty:
            return
        if isinstance(item, UaitrainError):
            raise item
        yield item


def _has_ended(source: Source, name: str) -> bool:
    """A pod that is gone has ended, too."""
    found = [pod for pod in source.pods() if pod["metadata"]["name"] == name]
    return not found or status.has_ended(found[0])


def _has_begun(pod: Mapping[str, Any]) -> bool:
    return status.is_running(pod) or status.has_ended(pod)


def _in_order(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    def key(pod: dict[str, Any]) -> tuple[str, int, str]:
        told = pod["metadata"]
        return told.get("creationTimestamp", ""), status.rank_of(pod) or 0, told["name"]

    return sorted(pods, key=key)


def _prefixed(pod: Mapping[str, Any], line: str) -> str:
    """A run of several nodes says whose line it is."""
    rank = status.rank_of(pod)
    return line if rank is None else f"[{rank}] {line}"
