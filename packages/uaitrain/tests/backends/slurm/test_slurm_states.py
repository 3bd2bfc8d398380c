"""What Slurm says, as states. The texts are Slurm 22.05's own, but for sacct's: this machine has
no accounting database, so its lines are written after sacct(1)."""

from __future__ import annotations

import pytest
from uaitrain.backends import State
from uaitrain.backends.slurm.states import (
    STATES,
    Task,
    of_exit_code,
    parse_sacct,
    parse_squeue,
    together,
    with_exit_code,
)

QUEUE = """\
7|N/A|RUNNING|1795549541|1827085541|dev.uaitrain.run-id=mnist-1|None
8|0|COMPLETED|1795549541|1795549542|dev.uaitrain.run-id=sweep-1|None
8|1|PENDING|N/A|N/A|dev.uaitrain.run-id=sweep-1|JobArrayTaskLimit
9|N/A|FAILED|1795549541|1795549542|somebody | else|NonZeroExitCode
broken line
"""
ACCOUNTS = """\
7|NODE_FAIL|0:0|1795549541|1795549600
7|COMPLETED|0:0|1795549700|1795549800
8_0|FAILED|3:0|1795549541|1795549542
8_1|CANCELLED by 1000|0:15|1795549541|Unknown
"""


def test_the_queue_is_read() -> None:
    running, first, second, other = parse_squeue(QUEUE)

    assert running == Task("7", "", State.RUNNING, "RUNNING", 1795549541.0, 0.0, "mnist-1", None)
    assert (first.number, first.state, first.ended) == ("0", State.SUCCEEDED, 1795549542.0)
    assert (second.state, second.reason, second.started) == (
        State.QUEUED, "JobArrayTaskLimit", 0.0,
    )  # fmt: skip
    assert (other.run_id, other.reason) == ("", "FAILED")


def test_the_accounts_tell_the_last_attempt() -> None:
    found = {(task.job, task.number): task for task in parse_sacct(ACCOUNTS)}

    assert (found["7", ""].state, found["7", ""].exit_code) == (State.SUCCEEDED, 0)
    assert found["8", "0"].exit_code == 3
    assert (found["8", "1"].state, found["8", "1"].ended) == (State.CANCELLED, 0.0)


@pytest.mark.parametrize(
    ("code", "state"),
    [(0, State.SUCCEEDED), (1, State.FAILED), (127, State.FAILED), (137, State.FAILED),
     (143, State.STOPPED)],
)  # fmt: skip
def test_exit_codes_become_states_as_everywhere(code: int, state: State) -> None:
    assert of_exit_code(code) is state


def test_the_scripts_exit_code_says_more_than_slurms_state() -> None:
    cancelled = Task("7", "", State.CANCELLED, "CANCELLED")
    running = Task("7", "", State.RUNNING, "RUNNING")

    assert with_exit_code(cancelled, 143).state is State.STOPPED
    assert with_exit_code(cancelled, None).state is State.CANCELLED
    assert with_exit_code(running, 143).state is State.RUNNING, "the code is an older attempt's"


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ([State.SUCCEEDED, State.SUCCEEDED], State.SUCCEEDED),
        ([State.SUCCEEDED, State.FAILED, State.STOPPED], State.FAILED),
        ([State.SUCCEEDED, State.QUEUED], State.RUNNING),
        ([State.QUEUED, State.QUEUED], State.QUEUED),
        ([State.FAILED, State.RUNNING], State.RUNNING),
        ([], State.UNKNOWN),
    ],
)
def test_a_sweep_is_as_bad_as_its_worst_task(states: list[State], wanted: State) -> None:
    tasks = [Task("8", str(number), state, "") for number, state in enumerate(states)]

    assert together("8", "sweep-1", tasks).state is wanted


def test_every_state_of_slurms_manual_has_a_meaning() -> None:
    """JOB STATE CODES of squeue(1), 22.05."""
    manual = """
        BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL
        OUT_OF_MEMORY PENDING PREEMPTED RUNNING RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD REQUEUED
        RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED SUSPENDED TIMEOUT
    """

    assert set(manual.split()) == set(STATES)
