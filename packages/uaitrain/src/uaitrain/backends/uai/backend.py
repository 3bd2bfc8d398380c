"""The platform as a backend: create, list, info, stop and log of the vendor's tool."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from uaitrain.backends import Job, State, Status
from uaitrain.backends.uai import failures
from uaitrain.backends.uai.api import Answer, Api
from uaitrain.backends.uai.jobs import Row, row_of
from uaitrain.backends.uai.keys import load_keys
from uaitrain.backends.uai.options import Options
from uaitrain.backends.uai.render import render
from uaitrain.backends.uai.request import CREATE, Lookup, Parameters, UaiRequest, Value
from uaitrain.backends.uai.window import Window
from uaitrain.errors import BackendError

LIST = "GetUAITrainJobList"
STOP = "StopUAITrainJob"
INFO = "GetUAITrainRunningInfo"
TOPICS = "GetUAITrainRunningLogTopicList"
LOG = "GetUAITrainRunningLog"

POLL_SECONDS = 10.0
"""As often as the vendor's own tool asks."""

STOP_SECONDS = 900.0


class UaiBackend:
    """Handles are the platform's ``TrainJobId``. ``sleep`` is where the waiting goes."""

    def __init__(
        self,
        options: Options,
        *,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._sleep = sleep
        self._clock = clock
        self._api = Api(options.url, lambda: load_keys(options.profile), sleep=sleep)

    def render(self, job: Job) -> UaiRequest:
        return render(job, self._options)

    def submit(self, request: UaiRequest) -> str:
        """One job, also where an answer is lost: before it is asked for again, the platform is
        asked whether a job of this run's name is there."""
        found: dict[str, Value] = {}
        for lookup in request.lookups:
            found[lookup.parameter] = self._look_up(lookup, request.common, found)
        keys = self._api.keys
        parameters = {
            **request.common,
            **request.parameters,
            **found,
            "TrainPublicKey": keys.public,
            "TrainPrivateKey": keys.private.reveal(),
        }
        answer = self._api.call(CREATE, parameters, done=lambda: self._created(request))
        return _text(answer, "TrainJobId", CREATE, self._options.url)

    def status(self, handles: Sequence[str]) -> Mapping[str, Status]:
        if len(handles) == 1:
            rows = self._rows({"TrainJobId": handles[0]})
        else:
            rows = self._rows({}) if handles else ()
        known = {row.handle: row.status for row in rows}
        return {h: known.get(h) or Status(h, "", State.UNKNOWN) for h in handles}

    def logs(self, handle: str, *, follow: bool) -> Iterator[str]:
        """What the platform still shows: of a job that is over, the last fifty lines. Lines of
        several nodes begin with their topic."""
        windows: dict[str, Window] = {}
        while True:
            # Asked for before the lines, so that the last lines are taken when it is over.
            status = self._known(handle)
            if status.state is not State.QUEUED:
                topics = self._topics(handle)
                for topic in topics:
                    fresh = windows.setdefault(topic, Window()).new(self._lines(handle, topic))
                    yield from (f"[{topic}] {line}" if len(topics) > 1 else line for line in fresh)
            if not follow or status.state.is_over:
                return
            self._sleep(POLL_SECONDS)

    def cancel(self, handle: str) -> None:
        if self._known(handle).state.is_over:
            return
        try:
            self._call(STOP, {"TrainJobId": handle})
        except BackendError:
            # It may have ended in the meantime, and then there was nothing to stop.
            if not self._known(handle).state.is_over:
                raise
        deadline = self._clock() + STOP_SECONDS
        while not (status := self._known(handle)).state.is_over:
            if self._clock() >= deadline:
                raise BackendError(
                    f"{handle} was stopped {STOP_SECONDS / 60:.0f} minutes ago and is still "
                    f"{status.reason or status.state}",
                    next_step="cancel it again, or look at it in the platform's console",
                )
            self._sleep(POLL_SECONDS)

    def list(self) -> tuple[Status, ...]:
        ours = [row for row in self._rows({}) if row.is_ours]
        ours.sort(key=lambda row: row.created, reverse=True)
        return tuple(row.status for row in ours)

    def info(self, handle: str) -> Mapping[str, str]:
        """What a run has taken so far: its time in seconds, and its price (the platform counts
        hundredths)."""
        answer = self._call(INFO, {"TrainJobId": handle})
        try:
            price = f"{float(answer['TotalPrice']) / 100:.2f}"
            return {"seconds": str(int(answer["ExecTime"])), "price": price}
        except (KeyError, TypeError, ValueError):
            raise failures.unreadable(INFO, self._options.url, "no ExecTime, TotalPrice") from None

    def _call(self, action: str, parameters: Parameters) -> Answer:
        return self._api.call(action, {**self._options.common, **parameters})

    def _look_up(self, lookup: Lookup, common: Parameters, found: Parameters) -> Value:
        needed = {name: found[name] for name in lookup.needs}
        answer = self._api.call(lookup.action, {**common, **lookup.parameters, **needed})
        rows = _rows_of(answer, lookup.rows)
        for row in rows:
            if all(_same(row.get(name), value) for name, value in lookup.where.items()):
                value = row.get(lookup.column)
                if isinstance(value, int | str) and not isinstance(value, bool):
                    return value
        there = sorted({" ".join(str(row.get(name)) for name in lookup.where) for row in rows})
        raise BackendError(
            f"{lookup.action}: the platform has no {lookup.column} where {lookup.wanted}",
            allowed=failures.plain(", ".join(there)) or "it names none",
            next_step="look at the table [uai]",
        )

    def _created(self, request: UaiRequest) -> Answer | None:
        try:
            for row in self._rows({}):
                # One that is over is an earlier attempt of a run that is started again.
                if row.name == request.name and not row.status.state.is_over:
                    return {"TrainJobId": row.handle}
        except BackendError as error:
            raise BackendError(
                f"{CREATE}: no answer came, and whether the job was made cannot be found out: "
                f"{error.what}",
                next_step=f"look for {request.name} with uaitrain runs before you submit again",
            ) from None
        return None

    def _known(self, handle: str) -> Status:
        status = self.status([handle])[handle]
        if status.state is State.UNKNOWN:
            raise BackendError(f"the platform knows no job {handle}")
        return status

    def _rows(self, asked: Parameters) -> tuple[Row, ...]:
        """All rows. Without a limit the platform gives all of them at once; where it gives fewer
        than it counts, the rest is asked for."""
        rows: list[Row] = []
        page: Parameters = {}
        while True:
            answer = self._call(LIST, {**asked, **page})
            got = _rows_of(answer, "DataSet")
            rows += [row for fields in got if (row := row_of(fields)) is not None]
            total = _count(answer)
            if not got or len(rows) >= total:
                return tuple(rows)
            page = {"Offset": len(rows), "Limit": total}

    def _topics(self, handle: str) -> tuple[str, ...]:
        answer = self._call(TOPICS, {"TrainJobId": handle})
        names = (row.get("TopicId") for row in _rows_of(answer, "DataSet"))
        return tuple(name for name in names if isinstance(name, str) and name)

    def _lines(self, handle: str, topic: str) -> tuple[str, ...]:
        answer = self._call(LOG, {"TrainJobId": handle, "LogTopicId": topic})
        lines = answer.get("RunningLog")
        texts = [str(line) for line in lines] if isinstance(lines, list) else []
        return tuple(line for text in texts for line in text.rstrip("\n").split("\n"))


def _rows_of(answer: Answer, name: str) -> tuple[Mapping[str, Any], ...]:
    """An empty list may come as null."""
    rows = answer.get(name)
    return tuple(row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()


def _count(answer: Answer) -> int:
    try:
        return int(answer.get("TotalCount") or 0)
    except (TypeError, ValueError):
        return 0


def _same(told: object, wanted: Value) -> bool:
    """Numbers may come as texts, and the vendor's tool compares names in any case."""
    return str(told).lower() == str(wanted).lower()


def _text(answer: Answer, name: str, action: str, url: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise failures.unreadable(action, url, f"no {name}")
    return value
