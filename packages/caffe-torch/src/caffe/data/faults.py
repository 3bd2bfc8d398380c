"""How the readers of data say what is wrong: an error that names the net layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from caffe.errors import DataError

Fail = Callable[..., DataError]
"""``fail(what, allowed="", next_step="")`` gives the error, to be raised."""


def fail_for(layer: str, kind: str) -> Fail:
    """The ``Fail`` of one net layer. It does not hold the layer: a thread may keep it."""
    return partial(_error, f'layer "{layer}" ({kind}): ')


def _error(prefix: str, what: str, *, allowed: str = "", next_step: str = "") -> DataError:
    return DataError(prefix + what, allowed=allowed, next_step=next_step)


def record_name(source: str, key: bytes | memoryview) -> str:
    """A record for people: ``"train_lmdb", record "00000012"``."""
    shown = bytes(key).decode("utf-8", "backslashreplace")
    return f'"{source}", record "{shown}"'
