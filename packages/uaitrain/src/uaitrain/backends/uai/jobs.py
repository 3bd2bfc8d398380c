"""The platform's rows about jobs (``UAITrainJob`` of GetUAITrainJobList) as ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uaitrain.backends import RUN_LABEL, State, Status
from uaitrain.values import dataclass

STATES = {
    "Doing": State.RUNNING,
    "Done": State.SUCCEEDED,
    "Error": State.FAILED,
    "Stopped": State.CANCELLED,
    "Deleted": State.CANCELLED,
}
"""The words that the vendor's uai-sdk knows; it takes all but Doing for ended. Any other word
(waiting, starting, stopping) is judged by whether the job has begun."""


@dataclass(frozen=True)
class Row:
    """One job there. Times are Unix seconds or 0, ``max_hours`` its time limit."""

    handle: str
    name: str
    memo: str
    word: str
    created: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    max_hours: int = 0

    @property
    def is_ours(self) -> bool:
        return self.memo.startswith(f"{RUN_LABEL}=")

    @property
    def status(self) -> Status:
        """The platform tells no exit code; that of a job that is done was 0."""
        state = self._state()
        return Status(
            self.handle,
            self.memo.removeprefix(f"{RUN_LABEL}=") if self.is_ours else self.name,
            state,
            exit_code=0 if state is State.SUCCEEDED else None,
            reason="time limit" if state is State.STOPPED else self.word,
            started=self.started,
            # While a job runs the platform's EndTime means nothing.
            ended=self.ended if state.is_over else 0.0,
        )

    def _state(self) -> State:
        state = STATES.get(self.word)
        if state is None:
            return State.RUNNING if self.started else State.QUEUED
        limit = self.max_hours * 3600
        if self.word == "Stopped" and limit and self.started and self.ended - self.started >= limit:
            return State.STOPPED
        return state


def row_of(fields: Mapping[str, Any]) -> Row | None:
    """None for what is no job's row."""
    handle = _text(fields.get("TrainJobId"))
    if not handle:
        return None
    return Row(
        handle,
        name=_text(fields.get("TrainJobName")),
        memo=_text(fields.get("TrainJobMemo")),
        word=_text(fields.get("Status")),
        created=_number(fields.get("CreateTime")),
        started=_number(fields.get("StartTime")),
        ended=_number(fields.get("EndTime")),
        max_hours=int(_number(fields.get("MaxExecuteTime"))),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float:
    """The platform's answers have numbers as texts in places."""
    try:
        return max(0.0, float(value)) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return 0.0
