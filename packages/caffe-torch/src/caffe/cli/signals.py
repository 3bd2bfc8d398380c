"""SIGINT and SIGHUP become requests that the solver asks for once an iteration."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from caffe.errors import UsageError
from caffe.solver import Action

EFFECTS = {"stop": Action.STOP, "snapshot": Action.SNAPSHOT, "none": Action.NONE}


def effect(name: str) -> Action:
    """Raises UsageError for a name that is no effect."""
    if name not in EFFECTS:
        raise UsageError(
            f'Invalid signal effect "{name}" was specified', allowed=", ".join(EFFECTS)
        )
    return EFFECTS[name]


def watch(on_interrupt: Action, on_hangup: Action) -> Callable[[], Action]:
    """Handle both signals from now on; gives the function that tells, once, what was asked."""
    got = {signal.SIGINT: False, signal.SIGHUP: False}

    def remember(number: int, frame: FrameType | None) -> None:
        got[signal.Signals(number)] = True

    for number in got:
        signal.signal(number, remember)

    def requested() -> Action:
        for number, action in ((signal.SIGINT, on_interrupt), (signal.SIGHUP, on_hangup)):
            if got[number]:
                got[number] = False
                return action
        return Action.NONE

    return requested
