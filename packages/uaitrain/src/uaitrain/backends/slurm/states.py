"""What Slurm says about jobs, as states of runs (squeue(1), JOB STATE CODES). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from uaitrain.backends import RUN_LABEL, State, Status
from uaitrain.values import dataclass

SQUEUE = ("squeue", "--noheader", "--states=all", "--array", "--format=%F|%K|%T|%S|%e|%k|%r")
"""Job, task, state, start, end, comment, reason; the last two may hold anything."""
SACCT = (
    *("sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", "--array"),
    "--format=JobID,State,ExitCode,Start,End",
)

_QUEUED = "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT"
_RUNNING = "RUNNING COMPLETING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED"
_FAILED = "FAILED TIMEOUT OUT_OF_MEMORY DEADLINE BOOT_FAIL"
STATES: Mapping[str, State] = {
    **dict.fromkeys(_QUEUED.split(), State.QUEUED),
    **dict.fromkeys(_RUNNING.split(), State.RUNNING),
    **dict.fromkeys(_FAILED.split(), State.FAILED),
    # Slurm has started none of these anew; whoever does lets the run go on.
    **dict.fromkeys(("NODE_FAIL", "PREEMPTED", "REVOKED"), State.STOPPED),
    "COMPLETED": State.SUCCEEDED,
    "CANCELLED": State.CANCELLED,
}


@dataclass(frozen=True)
class Task:
    """One job of Slurm: a whole run, or one task of a sweep (``number`` is then its number)."""

    job: str
    number: str
    state: State
    reason: str
    started: float = 0.0
    ended: float = 0.0
    run_id: str = ""
    exit_code: int | None = None


def parse_squeue(text: str) -> Iterator[Task]:
    for line in text.splitlines():
        fields = line.split("|", 5)
        if len(fields) != 6:
            continue
        job, number, word, started, ended, rest = fields
        comment, _, reason = rest.rpartition("|")
        mark, _, run_id = comment.partition("=")
        state = STATES.get(word, State.UNKNOWN)
        yield Task(
            job,
            number if number.isdigit() else "",
            state,
            word if reason in ("", "None") or state.is_over else reason,
            _time(started) if state is not State.QUEUED else 0.0,
            _time(ended) if state.is_over else 0.0,
            run_id if mark == RUN_LABEL else "",
        )


def parse_sacct(text: str) -> Iterator[Task]:
    """The last attempt of each job wins: sacct prints them in order."""
    found: dict[tuple[str, str], Task] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != 5:
            continue
        job, _, number = fields[0].partition("_")
        words = fields[1].split()
        state = STATES.get(words[0] if words else "", State.UNKNOWN)
        code, _, signal = fields[2].partition(":")
        exit_code = int(code) if code.isdigit() and signal in ("", "0") else None
        found[job, number] = Task(
            job, number, state, fields[1], _time(fields[3]), _time(fields[4]), "",
            exit_code if state in (State.SUCCEEDED, State.FAILED) else None,
        )  # fmt: skip
    yield from found.values()


def with_exit_code(task: Task, code: int | None) -> Task:
    """``task`` with the code that its script left, which says more than Slurm's state: a run
    that wrote its snapshot when Slurm cancelled it goes on when it is started again."""
    if code is None or not (task.state.is_over or task.state is State.UNKNOWN):
        return task
    return Task(
        task.job, task.number, of_exit_code(code), task.reason, task.started, task.ended,
        task.run_id, code,
    )  # fmt: skip


def of_exit_code(code: int) -> State:
    return {0: State.SUCCEEDED, 143: State.STOPPED}.get(code, State.FAILED)


_WORST_FIRST = (State.FAILED, State.UNKNOWN, State.STOPPED, State.CANCELLED, State.SUCCEEDED)


def together(handle: str, run_id: str, tasks: Sequence[Task]) -> Status:
    """A run's status from its tasks: it runs while one does, and is as bad as its worst task."""
    tasks = sorted(tasks, key=lambda task: int(task.number or 0))
    states = [task.state for task in tasks]
    if not states:
        return Status(handle, run_id, State.UNKNOWN)
    if State.RUNNING in states:
        state = State.RUNNING
    elif State.QUEUED in states:
        begun = any(each.is_over for each in states)
        state = State.RUNNING if begun else State.QUEUED
    else:
        state = next(each for each in _WORST_FIRST if each in states)
    speaking = next((task for task in tasks if task.state is state), tasks[0])
    reason = speaking.reason
    if len(tasks) > 1:
        counts = {each: states.count(each) for each in dict.fromkeys(states)}
        reason = ", ".join(f"{count} {each}" for each, count in counts.items())
    started = min((task.started for task in tasks if task.started), default=0.0)
    ended = max(task.ended for task in tasks) if state.is_over else 0.0
    return Status(
        handle,
        run_id or speaking.run_id,
        state,
        speaking.exit_code if state.is_over else None,
        reason,
        started,
        ended,
    )


def _time(text: str) -> float:
    """Seconds since 1970, as SLURM_TIME_FORMAT=%s asks for; 0 for what is not known."""
    return float(text) if text.isdigit() else 0.0
